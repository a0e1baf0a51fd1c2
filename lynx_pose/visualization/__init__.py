"""Poses drawn on images."""
