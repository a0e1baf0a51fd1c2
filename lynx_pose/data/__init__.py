"""From annotation files to batches of crops: readers, split, crop geometry, augmentation, loaders."""
