"""A network in an ONNX file by `python -m lynx_pose.export`; needs onnxruntime, and no torch."""

import json
from pathlib import Path

import numpy as np

from lynx_pose.arrays import Floats, Pixels
from lynx_pose.data.crop import CropConvention
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError

# Under which an export describes its network.
METADATA = "lynx_pose"


class OnnxNetwork:
    """A network that onnxruntime computes, on a GPU where its GPU package is installed.

    Args:
        path: of the file.
        threads: that it computes with; 0 takes one for each core.
    """

    def __init__(self, path: Path, threads: int = 0):
        try:
            import onnxruntime
        except ImportError:
            raise InputError("ONNX files need onnxruntime: pip install 'lynx-pose[onnx]'") from None
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(path, options, onnxruntime.get_available_providers())
            described = json.loads(self.session.get_modelmeta().custom_metadata_map[METADATA])
            self.skeleton = Skeleton.from_dict(described["skeleton"])
            width, height = described["input_size"]
            self.input_size = (int(width), int(height))
            self.crop_convention = CropConvention(described["crop_convention"])
        except Exception as error:  # onnxruntime has types of its own for what is wrong with a file
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{path}: is not a network that lynx_pose.export wrote ({first})") from None

    def __call__(self, crops: Pixels) -> tuple[Floats, Floats]:
        """Turn crops [B, H, W, 3], RGB, into keypoints [B, K, 2] in crop pixels and confidences [B, K]."""
        keypoints, confidences = self.session.run(None, {"crops": np.ascontiguousarray(crops)})
        return keypoints.astype(np.float64), confidences.astype(np.float64)

    def fold_batchnorm(self) -> None:
        """Do nothing: onnxruntime has done so."""
