"""Token arrays in, a streamed shard set with its SQL index out."""
