"""Augmentation: geometry changes the crop's box, photometric groups change the photograph's pixels."""
