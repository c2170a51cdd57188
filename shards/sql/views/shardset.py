"""Views of the shard set itself: its summary, its streams, its shard files."""

from __future__ import annotations

from mixscale.contracts.shardset import ShardSet
from mixscale.shards.sql.json_rows import json_rows
from mixscale.shards.sql.view import View
from mixscale.shards.storage.mds_index import IndexFile

_SHARDSET = View(
    row="the shard set (one row)",
    columns={
        "mixscale_version": "version that built it",
        "sequence_length": "tokens in a sample",
        "vocab_size": "one more than the largest token id",
        "eos_token": "end-of-text token",
        "eos_token_id": "its id",
        "bos_token": "token that every text begins with; null when there is none",
        "bos_token_id": "its id",
        "content_sha256": "hash over the streams and the tokenizer",
        "config": "the corpus config, JSON",
    },
    sql=f"""
SELECT mixscale_version, sequence_length, tokenizer.vocab_size, tokenizer.eos_token,
       tokenizer.eos_token_id, tokenizer.bos_token, tokenizer.bos_token_id, content_sha256, config
FROM {json_rows("$shardset", ShardSet)}""",
)

_STREAMS = View(
    row="a stream, as the build summed it up in shardset.json",
    columns={
        "domain": "domain",
        "split": "train or validation",
        "position": "number of the domain in the corpus config, from 1",
        "documents": "documents kept",
        "text_bytes": "UTF-8 bytes of the kept texts",
        "tokens": "tokens of the kept documents, end-of-text tokens included",
        "samples": "whole samples",
        "remainder_tokens": "tokens after the last whole sample, in no shard",
        "shards": "shards",
        "shard_bytes": "bytes of the shard files on disk",
        "sha256": "hash over the shards",
    },
    sql=f"""
WITH entries AS (
    SELECT unnest(map_entries(domains)) AS entry,
           generate_subscripts(map_entries(domains), 1) AS position
    FROM {json_rows("$shardset", ShardSet, ["domains"])}),
splits AS (
    SELECT entry.key AS domain, position, unnest(map_entries(entry.value)) AS split FROM entries)
SELECT domain, split.key AS split, position, unnest(split.value) FROM splits""",
)

_SHARDS = View(
    row="a shard file",
    columns={
        "domain": "domain",
        "split": "train or validation",
        "shard": "number of the shard in its stream, from 0",
        "path": "file, relative to the shard set",
        "first_sample": "its first sample, counted in the stream from 0",
        "samples": "samples",
        "tokens": "tokens",
        "bytes": "bytes of the file on disk",
        "raw_bytes": "bytes after decompression",
        "compression": "compression; null when there is none",
        "hashes": "hashes of the file on disk, by algorithm",
    },
    sql=f"""
WITH listed AS (
    SELECT parse_path(filename, 'both_slash')[-3] AS domain,
           parse_path(filename, 'both_slash')[-2] AS split,
           unnest(shards) AS entry, generate_subscripts(shards, 1) - 1 AS shard
    FROM {json_rows("$indexes", IndexFile, ["shards"])}),
files AS (
    SELECT domain, split, shard, entry.samples AS samples, entry.compression AS compression,
           entry.raw_data.bytes AS raw_bytes, coalesce(entry.zip_data, entry.raw_data) AS file
    FROM listed)
SELECT domain, split, shard::UINTEGER AS shard,
       concat_ws('/', domain, split, file.basename) AS path,
       (sum(files.samples) OVER earlier - files.samples)::UBIGINT AS first_sample,
       files.samples,
       files.samples * sequence_length AS tokens,
       file.bytes AS bytes, raw_bytes, compression, file.hashes AS hashes
FROM files JOIN streams USING (domain, split), shardset
WINDOW earlier AS (PARTITION BY domain, split ORDER BY shard)""",
)

VIEWS = {"shardset": _SHARDSET, "streams": _STREAMS, "shards": _SHARDS}
"""In an order in which each uses only those before it."""
