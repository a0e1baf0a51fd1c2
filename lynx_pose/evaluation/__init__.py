"""A finished run on its validation set: metrics in detail, calibration."""
