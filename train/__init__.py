"""Training: one Composer run from YAML, or a sweep of proxy runs."""
