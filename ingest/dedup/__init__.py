"""Which copy of a text stays: `decide` decides, the other modules find texts nearly the same."""
