"""Codecs: coordinates to training targets and network outputs back to coordinates, batched, without parameters."""
