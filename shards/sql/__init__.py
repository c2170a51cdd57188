"""Answers SQL about a shard set: its index, views, macros, queries and prompt."""
