"""Writes the files of a shard set: MDS shards, their index, checksums, copies in object stores."""
