"""Writes token arrays as a streamed shard set, verifies it, and answers SQL about it."""
