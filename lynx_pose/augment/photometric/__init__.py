"""Photometric transforms of the thesis that albumentations 2.0.8 lacks or computes differently."""
