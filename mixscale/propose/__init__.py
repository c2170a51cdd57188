"""First settings for a folder of text, from a look at what is in it."""
