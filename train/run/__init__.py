"""One training run, from its config to its record."""
