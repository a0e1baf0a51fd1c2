"""A coat for each individual: spots in the space of the resting body, looked up where a point of the skin is."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

LOW, HIGH = np.array([-0.35, -0.30, -0.05]), np.array([1.05, 0.30, 1.00])
# Spots are longer along the body than across it.
STRETCH = np.array([0.78, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Coat:
    """Colours and spots of one individual.

    Args:
        centers: of the spots, in stretched coordinates of the resting body.
        sizes: radius of each spot in metres.
        back: RGB of the back in 0–1.
        belly: RGB of the belly and the throat.
        contrast: how dark a spot is, 0–1.
    """

    centers: cKDTree
    sizes: NDArray[np.float64]
    back: NDArray[np.float64]
    belly: NDArray[np.float64]
    contrast: float

    def darkness(self, rest_points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how dark the spots make the skin at points [N, 3] of the resting body, 0–1."""
        distances, nearest = self.centers.query(rest_points * STRETCH)
        return self.contrast * np.clip(2.2 * (1.15 - distances / self.sizes[nearest]), 0, 1)


@lru_cache(maxsize=64)
def make_coat(individual: int, seed: int) -> Coat:
    """Draw the coat of an individual; the same numbers give the same coat.

    Args:
        individual: number of the animal.
        seed: of the dataset.
    """
    rng = np.random.default_rng([seed, individual])
    spacing = rng.uniform(0.045, 0.075)
    count = int(np.prod(HIGH - LOW) / spacing**3)
    centers = rng.uniform(LOW, HIGH, (count, 3)) * STRETCH
    sizes = spacing * rng.uniform(0.24, 0.36) * rng.uniform(0.7, 1.4, count)
    hue = rng.uniform(0, 1)
    back = (1 - hue) * np.array([0.62, 0.50, 0.38]) + hue * np.array([0.60, 0.55, 0.49])
    belly = back * 0.35 + np.array([0.88, 0.84, 0.77]) * 0.65
    return Coat(cKDTree(centers), sizes, back * rng.uniform(0.85, 1.1), belly, rng.uniform(0.55, 0.9))
