"""From poses to the coat, by which individuals are told apart."""
