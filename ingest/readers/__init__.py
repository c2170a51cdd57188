"""Raw files in, records out: one module for each format."""
