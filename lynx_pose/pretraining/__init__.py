"""Backbones that learn from photographs without labels."""
