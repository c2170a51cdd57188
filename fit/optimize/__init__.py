"""The best allowed mixture of an objective."""
