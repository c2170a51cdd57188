"""The pages that people read in a browser: one frame for all of them."""
