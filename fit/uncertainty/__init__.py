"""How noisy runs are, and what that leaves open of a result."""
