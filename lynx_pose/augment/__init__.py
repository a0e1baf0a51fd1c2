"""Augmentation: geometry changes the crop's box, photometric groups change the image's pixels."""

import os

# On import albumentations would ask the network for a newer version, and 2.0.8 is the one that we hold to.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
