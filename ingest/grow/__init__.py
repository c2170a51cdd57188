"""What a finished shard set remembers so that new files can be added to it."""
