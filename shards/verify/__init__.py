"""Checks a shard set: every byte of its files, every row of its documents table."""
