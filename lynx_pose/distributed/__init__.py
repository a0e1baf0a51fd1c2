"""Processes of one run: starting them, what they tell each other, signals."""
