"""A shard set's files: MDS shards, checksums, copies in object stores."""
