"""MMPose 1.3.2's training pipeline with the thesis's augmentation, by albumentations 1.3.1 on the whole image."""

import copy
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmpose.datasets.transforms import *  # noqa: F403  # registers them

cv2.setNumThreads(0)
init_default_scope("mmpose")
CODEC = {"type": "MSRAHeatmap", "input_size": (256, 256), "heatmap_size": (64, 64), "sigma": 2}
GROUPS = {
    "color": [
        {"type": "ChannelDropout", "fill_value": 102, "p": 1},
        {"type": "ChannelShuffle", "p": 1},
        {
            "type": "ColorJitter",
            "brightness": (0.35, 1.15),
            "contrast": (0.35, 3.1),
            "saturation": (0, 2.6),
            "hue": (-0.17, 0.07),
            "p": 1,
        },
        {
            "type": "HueSaturationValue",
            "hue_shift_limit": (-40, 40),
            "sat_shift_limit": (-235, 180),
            "val_shift_limit": (-80, 120),
            "p": 1,
        },
        {"type": "InvertImg", "p": 1},
        {"type": "RGBShift", "r_shift_limit": (0, 95), "g_shift_limit": (-95, 95), "b_shift_limit": (-95, 0), "p": 1},
        {"type": "RandomBrightnessContrast", "contrast_limit": (-0.6, 0.5), "brightness_limit": (-0.8, 0.5), "p": 1},
    ],
    "blur": [
        {"type": "Blur", "blur_limit": (17, 33), "p": 1},
        {"type": "GaussianBlur", "blur_limit": (21, 45), "p": 1},
        {"type": "MotionBlur", "blur_limit": (23, 49), "p": 1},
        {"type": "MedianBlur", "blur_limit": (29, 57), "p": 1},
    ],
    "noise": [
        {"type": "Downscale", "scale_min": 0.075, "scale_max": 0.15, "interpolation": 0, "p": 1},
        {"type": "GaussNoise", "var_limit": (30, 100), "mean": 30, "p": 1},
        {"type": "ISONoise", "color_shift": (0.01, 0.1), "intensity": (0.8, 1.0), "p": 1},
        {"type": "MultiplicativeNoise", "multiplier": (0.45, 1.55), "elementwise": True, "p": 1},
        {"type": "Posterize", "num_bits": [[4, 6], [3, 5], [2, 4]], "p": 1},
        {"type": "Sharpen", "alpha": (0.6, 1.0), "lightness": (0.6, 1.0), "p": 1},
    ],
    "weather": [
        {"type": "RandomSnow", "snow_point_lower": 0.3, "snow_point_upper": 0.5, "brightness_coeff": 5, "p": 1},
        {
            "type": "RandomSunFlare",
            "flare_roi": (0, 0, 1, 0.5),
            "num_flare_circles_lower": 6,
            "num_flare_circles_upper": 8,
            "src_radius": 100,
            "p": 1,
        },
        {
            "type": "RandomRain",
            "slant_lower": -20,
            "slant_upper": 20,
            "rain_type": "drizzle",
            "brightness_coefficient": 0.75,
            "p": 1,
        },
        {"type": "RandomFog", "fog_coef_lower": 0.4, "fog_coef_upper": 0.7, "alpha_coef": 0.05, "p": 1},
    ],
}


def pipeline(aug: str) -> Compose:
    """Return the pipeline of an augmentation group."""
    group = (
        [{"type": "Albumentation", "transforms": [{"type": "OneOf", "transforms": GROUPS[aug], "p": 0.8}]}]
        if aug in GROUPS
        else []
    )
    return Compose(
        [
            {"type": "LoadImage"},
            {"type": "GetBBoxCenterScale"},
            {"type": "RandomFlip", "direction": "horizontal"},
            *group,
            {"type": "RandomHalfBody"},
            {"type": "RandomBBoxTransform"},
            {"type": "TopdownAffine", "input_size": (256, 256)},
            {"type": "GenerateTarget", "encoder": CODEC},
            {"type": "PackPoseInputs"},
        ]
    )


def samples(file: str) -> list[dict]:
    """Return what MMPose's dataset would hand to the pipeline."""
    content = json.loads(Path(file).read_text())
    upper = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    result = []
    for number, record in enumerate(content["records"]):
        x, y, width, height = record["box"]
        result.append(
            {
                "img_id": number,
                "img_path": record["path"],
                "bbox": np.array([[x, y, x + width, y + height]], np.float32),
                "bbox_score": np.ones(1, np.float32),
                "num_keypoints": int(np.sum(record["visible"])),
                "keypoints": np.array([record["keypoints"]], np.float32),
                "keypoints_visible": np.array([record["visible"]], np.float32),
                "iscrowd": 0,
                "segmentation": None,
                "id": number,
                "category_id": 1,
                "flip_indices": content["flip"],
                "upper_body_ids": upper,
                "lower_body_ids": [index for index in range(len(content["flip"])) if index not in upper],
            }
        )
    return result


def main() -> None:
    """Answer requests for rates."""
    inputs = samples(sys.argv[1])
    for line in sys.stdin:
        (aug,) = json.loads(line)
        run = pipeline(aug)
        run(copy.deepcopy(inputs[0]))
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < 3:
            for sample in inputs:
                run(copy.deepcopy(sample))
            done += len(inputs)
        print(f"RATE {done / (time.perf_counter() - start)}", flush=True)


if __name__ == "__main__":
    main()
