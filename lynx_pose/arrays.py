"""Names of the arrays that pass through the package."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""[H, W, 3] RGB, or several of them; uint8."""
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Matrix = NDArray[np.float64]
"""[2, 3] affine map: point = matrix @ (x, y, 1)."""
AnyArray = NDArray[Any]
