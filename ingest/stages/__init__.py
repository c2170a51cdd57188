"""The stages of a build: read, count, write documents, write shards."""
