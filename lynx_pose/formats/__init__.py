"""Other programs' file formats, both directions of each in one place."""
