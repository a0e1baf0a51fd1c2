"""From crops to keypoints: backbone, head, codec, loss, and where weights come from."""
