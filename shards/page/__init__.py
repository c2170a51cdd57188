"""The page that shows a shard set to people."""
