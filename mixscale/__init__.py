"""Find the domain mixture of a large pre-training run from small proxy runs."""
