"""Times the index over many documents, with the shard writer against MDSWriter and a plain copy.

python -m benchmarks.index [--rows 10000000] [--megabytes 512] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixscale.contracts.shardset import (
    SPLITS,
    ShardSet,
    SplitSummary,
    TokenizerSummary,
    write_shardset,
)
from mixscale.shards.sql.documents import DOCUMENTS
from mixscale.shards.sql.domain_table import domain_table
from mixscale.shards.sql.index import open_index, rebuild_index
from mixscale.shards.storage.mds import MdsOptions, TokenFile, shard_plan, write_shard
from mixscale.shards.storage.mds_index import finish_stream, stream_sha256

DOMAINS = ("arxiv", "book", "c4", "common_crawl", "github", "stackexchange", "wikipedia")
FILES_PER_DOMAIN = 8
VALIDATION_SHARE, KEPT_SHARE = 0.01, 0.95
LENGTH = 2048
VOCAB_SIZE = 50257


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Time some work several times, and take the median."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def document_table(domain: str, file: int, rows: int, rng: np.random.Generator) -> pa.Table:
    """Make rows with lengths like those of web text, in the columns of the documents table."""
    kept = rng.random(rows) < KEPT_SHARE
    validation = rng.random(rows) < VALIDATION_SHARE
    tokens = (rng.lognormal(6, 1.3, rows) + 2).astype(np.uint64)
    split = np.where(validation, *reversed(SPLITS))
    status = np.where(kept, "kept", np.where(validation, "filtered", "duplicate"))
    starts = np.cumsum(np.where(kept, tokens, 0)) - np.where(kept, tokens, 0)
    numbers = np.arange(1, rows + 1, dtype=np.uint64)
    names = pa.array(numbers).cast(pa.string())
    digits = np.frombuffer(rng.bytes(rows * 16).hex().encode(), "S32").astype("U32")
    columns = {
        "domain": pa.array([domain]).take(pa.array(np.zeros(rows, int))),
        "split": pa.array(split, mask=~kept),
        "source_file": pa.array([f"{domain}/{file:03}.jsonl"]).take(pa.array(np.zeros(rows, int))),
        "source_row": pa.array(numbers),
        "doc_id": pa.array(digits),
        "chars": pa.array(tokens * np.uint64(4)),
        "bytes": pa.array(tokens * np.uint64(4) + np.uint64(7)),
        "tokens": pa.array(np.where(kept, tokens, 0).astype(np.uint64)),
        "status": pa.array(status),
        "detail": pa.array(np.where(status == "filtered", "meta.language == en", ""), mask=kept),
        "first_sample": pa.array((starts // LENGTH).astype(np.uint64), mask=~kept),
        "first_offset": pa.array((starts % LENGTH).astype(np.uint32), mask=~kept),
        "meta": pa.compute.binary_join_element_wise(  # pyright: ignore[reportAttributeAccessIssue]
            '{"language":"en","url":"https://example.org/', names, '"}', ""
        ),
    }
    return pa.table(columns, schema=DOCUMENTS)


def make_documents(folder: Path, rows: int) -> int:
    """Write a shard set of about so many documents, without shards; return how many."""
    rows_per_file = rows // len(DOMAINS) // FILES_PER_DOMAIN
    rng = np.random.default_rng(17)
    for domain in DOMAINS:
        (folder / "documents" / domain).mkdir(parents=True)
        for file in range(FILES_PER_DOMAIN):
            table = document_table(domain, file, rows_per_file, rng)
            path = folder / "documents" / domain / f"part-{file:05}.parquet"
            pq.write_table(table, path, compression="zstd")
        for split in SPLITS:
            finish_stream(folder / domain / split, [])
    empty = SplitSummary(
        documents=0, text_bytes=0, tokens=0, samples=0, remainder_tokens=0, shards=0,
        shard_bytes=0, sha256="0" * 64,
    )  # fmt: skip
    tokenizer = TokenizerSummary(
        path="tokenizer", vocab_size=VOCAB_SIZE, eos_token="<|endoftext|>", eos_token_id=0,
        sha256="0" * 64,
    )  # fmt: skip
    shardset = ShardSet(
        mixscale_version="0", sequence_length=LENGTH, tokenizer=tokenizer,
        domains={domain: {"train": empty, "validation": empty} for domain in DOMAINS},
        config={}, versions={}, content_sha256="0" * 64,
    )  # fmt: skip
    write_shardset(folder, shardset)
    return rows_per_file * len(DOMAINS) * FILES_PER_DOMAIN


def time_index(folder: Path, rows: int, repeats: int) -> None:
    """Print how long the index takes over `rows` documents."""
    rows = make_documents(folder, rows)
    print(f"documents                        {rows:>14,} rows")
    rebuilding = median_seconds(lambda: rebuild_index(folder), repeats)
    print(f"rebuild_index                    {rebuilding:>14.3f} s")
    opening = median_seconds(lambda: open_index(folder).close(), repeats)
    print(f"open_index (goal 0.2 s)          {opening:>14.3f} s")
    with open_index(folder) as index:
        table = median_seconds(lambda: index.execute("FROM domains").fetchall(), repeats)
        point = median_seconds(
            lambda: index.execute("FROM documents_in_sample('github', 'train', 5000)").fetchall(),
            repeats,
        )
    print(f"domain table, open (goal 1 s)    {table:>14.3f} s")
    whole = median_seconds(lambda: domain_table(folder), repeats)
    print(f"domain_table() with opening      {whole:>14.3f} s")
    print(f"documents_in_sample              {point:>14.3f} s")


def time_writer(folder: Path, megabytes: int, repeats: int) -> None:
    """Print how fast shards are written, against MDSWriter and against a copy of the tokens."""
    from streaming import MDSWriter

    samples = megabytes * 10**6 // (LENGTH * 2)
    rng = np.random.default_rng(17)
    tokens = rng.integers(0, VOCAB_SIZE, samples * LENGTH, dtype=np.uint16)
    folder.mkdir()
    tokens.tofile(folder / "tokens")
    files = [TokenFile(path=folder / "tokens", tokens=len(tokens))]
    options = MdsOptions()

    def ours() -> None:
        shutil.rmtree(folder / "ours", ignore_errors=True)
        plan = shard_plan(len(tokens), LENGTH, tokens.dtype, options)
        finish_stream(
            folder / "ours",
            [write_shard(folder / "ours", s, files, LENGTH, tokens.dtype, options) for s in plan],
        )

    def theirs() -> None:
        shutil.rmtree(folder / "theirs", ignore_errors=True)
        columns = {"tokens": f"ndarray:uint16:{LENGTH}"}
        with MDSWriter(columns=columns, out=str(folder / "theirs")) as writer:
            for sample in tokens.reshape(samples, LENGTH):
                writer.write({"tokens": sample})

    def copy() -> None:
        with (folder / "tokens").open("rb") as source, (folder / "copy").open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 22)

    def flushed() -> None:
        copy()
        with (folder / "copy").open("rb") as target:
            os.fsync(target.fileno())

    works = (copy, flushed, theirs, ours)
    seconds = {work.__name__: median_seconds(work, repeats) for work in works}
    hashing = median_seconds(lambda: stream_sha256(folder / "ours"), repeats)
    assert stream_sha256(folder / "ours") == stream_sha256(folder / "theirs")
    size = tokens.nbytes / 1e6
    print(f"tokens                           {size:>14,.0f} MB, {samples:,} samples of {LENGTH}")
    # Only write_shard and the flushed copy wait until the bytes are on the disk.
    for name, label in (
        ("copy", "plain copy"),
        ("flushed", "plain copy, flushed to disk"),
        ("theirs", "MDSWriter"),
        ("ours", "write_shard"),
    ):
        ratio = seconds[name] / seconds["ours"]
        print(f"{label:32} {size / seconds[name]:>14,.0f} MB/s; write_shard {ratio:.2f} x")
    print(f"stream_sha256                    {size / hashing:>14,.0f} MB/s")


def main() -> None:
    """Run both benchmarks in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        time_index(Path(scratch) / "shardset", arguments.rows, arguments.repeats)
        time_writer(Path(scratch) / "writer", arguments.megabytes, arguments.repeats)


if __name__ == "__main__":
    main()
