"""The first stage: a unit's records read, classified and tokenized, kept as files."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import xxhash

from mixscale.ingest.dedup.minhash import sign
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


@dataclass(frozen=True, kw_only=True)
class ReadTask:
    """All that a worker needs to read one unit."""

    unit: Unit
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
class UnitSummary:
    """What a unit held."""

    rows: int
    tokens: int
    digest: str
    """Of the input bytes; empty for files that are not local."""


def read_unit(task: ReadTask) -> UnitSummary:
    """Read one unit, unless its results are already there."""
    done = read_completion(task.completion)
    if done is not None:
        return UnitSummary(**done)
    encoder = load_encoder(task.encoder)
    with ExitStack() as stack:
        rows, tokens, signatures = (
            stack.enter_context(stack.enter_context(intermediate_path(path)).open("wb"))
            for path in task.files
        )
        summary = _write_results(task, encoder, rows, tokens, signatures)
    task.unit.file.refuse_change()
    write_completion(task.completion, asdict(summary), task.files)
    return summary


def _write_results(
    task: ReadTask,
    encoder: Encoder,
    rows: IO[bytes],
    tokens: IO[bytes],
    signatures: IO[bytes],
) -> UnitSummary:
    near = task.settings.near

    def write(block: Block) -> tuple[int, int]:
        ids, counts = encoder(block.texts)
        tokens.write(ids.data)
        if near is not None:
            signatures.write(sign(block.texts, near).data)
        batch = record_batch(block.rows, counts)
        writer.write_batch(batch)
        return batch.num_rows, len(ids)

    digest = input_digest(task.unit)
    with pa.ipc.new_file(rows, ROWS) as writer:
        # Not a loop, whose variable would keep a block alive while the next one is read.
        written = list(map(write, classified_blocks(task.unit, task.settings)))
    return UnitSummary(
        rows=sum(count for count, _ in written),
        tokens=sum(count for _, count in written),
        digest=digest,
    )


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
