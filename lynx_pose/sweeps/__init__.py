"""Sweeps: what their jobs are and how they ended."""
