"""Heads: feature maps to predictions. A head owns its codec and its loss."""
