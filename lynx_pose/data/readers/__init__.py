"""Readers: an annotation file in, `Annotations` out. One module a format."""
