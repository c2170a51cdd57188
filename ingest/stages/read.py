"""The first stage: a bundle's records read, classified and tokenized, kept as files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import xxhash

from mixscale.ingest.dedup.minhash import sign
from mixscale.ingest.readers.bundles import Bundle
from mixscale.ingest.readers.source_file import Unit
from mixscale.ingest.runtime.intermediate import (
    intermediate_path,
    read_completion,
    write_completion,
)
from mixscale.ingest.select.classify import Block, ReadSettings, classified_blocks
from mixscale.ingest.tokenize.encoder import Encoder, EncoderSpec, load_encoder
from mixscale.ingest.unit_rows import ROWS, record_batch

_READ_BYTES = 1 << 22
_JOINED_BYTES = 1 << 22
_JOINED_ROWS = 1 << 13


@dataclass(frozen=True, kw_only=True)
class ReadTask:
    """All that a worker needs to read one bundle."""

    units: Bundle
    settings: ReadSettings
    encoder: EncoderSpec
    stem: Path
    """The results are files of this name with different endings."""

    @property
    def rows_path(self) -> Path:
        """An Arrow file of `ROWS`."""
        return self.stem.with_suffix(".arrow")

    @property
    def tokens_path(self) -> Path:
        """The ids of all rows with the status `kept`, one after the other."""
        return self.stem.with_suffix(".tokens")

    @property
    def signatures_path(self) -> Path:
        """The signatures of the same rows; empty when none are asked for."""
        return self.stem.with_suffix(".signatures")

    @property
    def files(self) -> list[Path]:
        """All results."""
        return [self.rows_path, self.tokens_path, self.signatures_path]

    @property
    def completion(self) -> Path:
        """The file that says that all others are whole."""
        return self.stem.with_suffix(".json")


@dataclass(frozen=True, kw_only=True)
class BundleSummary:
    """What a bundle held."""

    unit_rows: tuple[int, ...]
    """Rows of each of its units."""
    tokens: int
    digests: tuple[str, ...]
    """Of the input bytes of each; empty for files that are not local."""

    @property
    def rows(self) -> int:
        """Rows of all of them."""
        return sum(self.unit_rows)


def read_bundle(task: ReadTask) -> BundleSummary:
    """Read one bundle, unless its results are already there."""
    done = read_completion(task.completion)
    if done is not None:
        return summary_of(done)
    encoder = load_encoder(task.encoder)
    with ExitStack() as stack:
        rows, tokens, signatures = (
            stack.enter_context(stack.enter_context(intermediate_path(path)).open("wb"))
            for path in task.files
        )
        summary = _write_results(task, encoder, rows, tokens, signatures)
    for unit in task.units:
        unit.file.refuse_change()
    write_completion(task.completion, vars(summary), task.files)
    return summary


def summary_of(done: dict[str, Any]) -> BundleSummary:
    """Turn what a completion holds back into a summary."""
    return BundleSummary(
        unit_rows=tuple(done["unit_rows"]), tokens=done["tokens"], digests=tuple(done["digests"])
    )


def _write_results(
    task: ReadTask,
    encoder: Encoder,
    rows: IO[bytes],
    tokens: IO[bytes],
    signatures: IO[bytes],
) -> BundleSummary:
    near = task.settings.near

    def write(block: Block) -> int:
        ids, counts = encoder(block.texts)
        tokens.write(ids.data)
        if near is not None:
            signatures.write(sign(block.texts, near).data)
        batch = record_batch(block.rows, counts)
        writer.write_batch(batch)
        return len(ids)

    digests = tuple(input_digest(unit) for unit in task.units)
    unit_rows = [0] * len(task.units)
    with pa.ipc.new_file(rows, ROWS) as writer:
        # Not a loop, whose variable would keep a block alive while the next one is read.
        written = sum(map(write, _blocks(task, unit_rows)))
    return BundleSummary(unit_rows=tuple(unit_rows), tokens=written, digests=digests)


def _blocks(task: ReadTask, unit_rows: list[int]) -> Iterator[Block]:
    """Yield the rows of all units, those of small files some at a time; counts them by unit."""
    joined = Block()
    for number, unit in enumerate(task.units):
        is_last = number == len(task.units) - 1
        for block in classified_blocks(unit, task.settings):
            unit_rows[number] += len(block.rows)
            if joined.rows:
                _append(joined, block)
            else:
                joined = block
            del block
            is_long = len(joined.rows) >= _JOINED_ROWS or joined.size >= _JOINED_BYTES
            if is_long or len(task.units) == 1:
                full, joined = [joined], Block()
                yield full.pop()
        if is_last and joined.rows:
            yield joined


def _append(joined: Block, block: Block) -> None:
    joined.rows += block.rows
    joined.texts += block.texts
    joined.size += block.size


def input_digest(unit: Unit) -> str:
    """Hash the bytes of a unit's range of a local file; a missing file has the hash of nothing."""
    if unit.file.is_remote:
        return ""
    digest = xxhash.xxh3_128()
    with suppress(OSError), unit.file.open() as stream:
        stream.seek(unit.start)
        left = unit.file.size if unit.end is None else unit.end - unit.start
        while left > 0 and (chunk := stream.read(min(_READ_BYTES, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()
