"""Which copy of a text stays."""
