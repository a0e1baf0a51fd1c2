"""From two dimensions to three: a network that learns from generated skeletons, without any photograph."""
