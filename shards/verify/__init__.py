"""Proof that a shard set is whole."""
