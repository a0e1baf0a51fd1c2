"""Poses drawn on photographs."""
