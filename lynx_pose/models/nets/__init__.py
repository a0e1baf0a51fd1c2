"""Networks that are more than a backbone and a head."""
