"""Raw files in, records out: a module for each format, and `registry`, which lists them."""
