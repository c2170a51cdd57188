"""One unit of a build: its records judged, hashed and tokenized, kept as two files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from mixscale.ingest.corpus import Near
from mixscale.ingest.dedup.minhash import DTYPE as SIGNATURE_DTYPE
from mixscale.ingest.dedup.minhash import Signatures, sign
from mixscale.ingest.readers.faults import Fault
from mixscale.ingest.readers.jsonl import is_blank
from mixscale.ingest.readers.records import record_blocks
from mixscale.ingest.readers.sources import Unit
from mixscale.ingest.runtime.scratch import read_mark, scratch_path, write_mark
from mixscale.ingest.select.rules import Routing, Rule, cut_window, find_text
from mixscale.ingest.tokenize.encoder import Encoder, EncoderSpec, load_encoder

STATUS = ("kept", "duplicate", "too_short", "filtered", "empty", "malformed", "near_duplicate")
"""The status of a row is its place here, until the documents are written."""
KEPT, DUPLICATE, TOO_SHORT, FILTERED = range(4)
NEAR_DUPLICATE = STATUS.index("near_duplicate")
HAS_TEXT = (KEPT, DUPLICATE)
UNROUTED_RANK = -1

ROWS = pa.schema(
    [
        pa.field("domain", pa.int16()),
        pa.field("high", pa.uint64()),
        pa.field("low", pa.uint64()),
        pa.field("chars", pa.uint64()),
        pa.field("bytes", pa.uint64()),
        pa.field("tokens", pa.uint64()),
        pa.field("status", pa.uint8()),
        pa.field("detail", pa.string()),
        pa.field("meta", pa.string()),
    ]
)
"""One row for every record; `high` and `low` are the halves of the text's hash."""

_BLOCK_BYTES = 1 << 22
_BLOCK_ROWS = 1 << 13
_MAX_REMEMBERED = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How all units of a build are read."""

    rules: tuple[Rule, ...]
    routing: Routing | None
    skip_repeats: bool
    """Texts repeated inside the unit and domain need no tokens: they are duplicates anyway."""
    near: Near | None = None
    """How texts are signed, when they are."""


@dataclass(frozen=True, kw_only=True)
class ReadTask:
    """All that a worker needs to read one unit."""

    unit: Unit
    reading: Reading
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
    def mark(self) -> Path:
        """Says that all other files are whole."""
        return self.stem.with_suffix(".json")


@dataclass(frozen=True, kw_only=True)
class UnitSummary:
    """What a unit held."""

    rows: int
    tokens: int
    digest: str
    """Of the input bytes; empty for files that are not local."""


class Row(NamedTuple):
    """What is known about one record before all units are compared."""

    domain: int
    status: int
    detail: str | None = None
    meta: bytes | None = None
    digest: bytes = bytes(16)
    chars: int = 0
    text_bytes: int = 0


@dataclass
class Block:
    """Rows and texts gathered until there are enough of them to encode at once."""

    rows: list[Row] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """Those of the rows that are kept, in order."""
    text_bytes: int = 0


def read_unit(task: ReadTask) -> UnitSummary:
    """Read one unit, unless its results are already there."""
    done = read_mark(task.mark)
    if done is not None:
        return UnitSummary(**done)
    encoder = load_encoder(task.encoder)
    with ExitStack() as stack:
        rows, tokens, signatures = (
            stack.enter_context(stack.enter_context(scratch_path(path)).open("wb"))
            for path in task.files
        )
        summary = _write_results(task, encoder, rows, tokens, signatures)
    task.unit.file.refuse_change()
    write_mark(task.mark, asdict(summary), task.files)
    return summary


def _write_results(
    task: ReadTask,
    encoder: Encoder,
    rows: IO[bytes],
    tokens: IO[bytes],
    signatures: IO[bytes],
) -> UnitSummary:
    near = task.reading.near

    def write(block: Block) -> tuple[int, int]:
        ids, counts = encoder(block.texts)
        tokens.write(ids.data)
        if near is not None:
            signatures.write(sign(block.texts, near).data)
        batch = _record_batch(block, counts)
        writer.write_batch(batch)
        return batch.num_rows, len(ids)

    digest = input_digest(task.unit)
    with pa.ipc.new_file(rows, ROWS) as writer:
        # Not a loop, whose variable would keep a block alive while the next one is read.
        written = list(map(write, judged_blocks(task.unit, task.reading)))
    return UnitSummary(
        rows=sum(count for count, _ in written),
        tokens=sum(count for _, count in written),
        digest=digest,
    )


def _record_batch(block: Block, counts: NDArray[np.int64]) -> pa.RecordBatch:
    if not block.rows:
        return pa.RecordBatch.from_pylist([], schema=ROWS)
    domain, status, detail, meta, digest, chars, size = zip(*block.rows, strict=True)
    halves = np.frombuffer(b"".join(digest), ">u8").astype(np.uint64).reshape(-1, 2)
    statuses = np.asarray(status, np.uint8)
    tokens = np.zeros(len(statuses), np.uint64)
    tokens[statuses == KEPT] = counts
    columns = [domain, halves[:, 0], halves[:, 1], chars, size, tokens, statuses, detail, meta]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, ROWS, strict=True)]
    return pa.record_batch(arrays, schema=ROWS)


def judged_blocks(unit: Unit, reading: Reading, block_bytes: int = _BLOCK_BYTES) -> Iterator[Block]:
    """Read a unit and judge its records, about `block_bytes` of text at a time."""
    judge = _Judge(unit, reading)
    for records in record_blocks(unit):
        records.reverse()
        while records:
            # Nothing else holds the record: its text may be as large as all the rest.
            judge.add(records.pop())
            # The encoder takes some kilobytes for each text, however short.
            is_long = len(judge.block.rows) >= _BLOCK_ROWS
            if is_long or judge.block.text_bytes >= block_bytes:
                yield judge.take()
    yield judge.take()


class _Judge:
    """Decides for each record what can be decided without the other units."""

    def __init__(self, unit: Unit, reading: Reading) -> None:
        domain = unit.file.domain
        self._rules = reading.rules
        self._routing = reading.routing if domain is None else None
        names = [rule.domain for rule in reading.rules]
        self._rank = UNROUTED_RANK if domain is None else names.index(domain)
        self._seen: set[tuple[int, bytes]] | None = set() if reading.skip_repeats else None
        self.block = Block()

    def take(self) -> Block:
        block, self.block = self.block, Block()
        return block

    def add(self, record: Any) -> None:
        if isinstance(record, Fault):
            status = "empty" if is_blank(record) else "malformed"
            self._reject(self._rank, status, record.detail or "a blank line")
            return
        rank = self._rank_of(record)
        if rank is None:
            field_name = ".".join(self._routing.path) if self._routing else ""
            self._reject(UNROUTED_RANK, "filtered", f"{field_name!r} names none of the domains")
            return
        rule = self._rules[rank]
        text = find_text(record, rule.text)
        if isinstance(text, tuple):
            meta = rule.meta_json(record) if isinstance(record, dict) else None
            self._reject(rank, *text, meta)
            return
        self._add_text(rank, rule, record, text)

    def _rank_of(self, record: Any) -> int | None:
        if self._routing is None:
            return self._rank
        return self._routing.rank(record) if isinstance(record, dict) else None

    def _reject(self, rank: int, status: str, detail: str, meta: bytes | None = None) -> None:
        self.block.rows.append(Row(rank, STATUS.index(status), detail, meta))

    def _add_text(self, rank: int, rule: Rule, record: dict[str, Any], text: str) -> None:
        detail = None
        refusing = rule.refusing_filter(record) if rule.filters else None
        if refusing is not None:
            status, detail = FILTERED, refusing
        elif len(text) < rule.min_characters:
            status = TOO_SHORT
            detail = f"{len(text)} characters, fewer than {rule.min_characters}"
        else:
            status = KEPT
        if rule.window is not None:
            text = cut_window(text, rule.window)
        data = text.encode("utf-8")
        digest = xxhash.xxh3_128_digest(data)
        if status == KEPT and self._is_repeat(rank, digest):
            status = DUPLICATE
        meta = rule.meta_json(record)
        block = self.block
        block.rows.append(Row(rank, status, detail, meta, digest, len(text), len(data)))
        if status == KEPT:
            block.texts.append(data)
            block.text_bytes += len(data)

    def _is_repeat(self, rank: int, digest: bytes) -> bool:
        if self._seen is None:
            return False
        key = rank, digest
        if key in self._seen:
            return True
        # Only saves work, so it may forget: the whole corpus is compared later.
        if len(self._seen) < _MAX_REMEMBERED:
            self._seen.add(key)
        return False


def read_rows(path: Path) -> pa.Table:
    """Map the rows of a unit into memory."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def map_tokens(path: Path, dtype: str) -> NDArray[Any]:
    """Map the tokens of a unit into memory."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")


def map_signatures(path: Path, near: Near) -> Signatures:
    """Map the signatures of a unit into memory, (texts, permutations)."""
    if path.stat().st_size == 0:
        return np.empty((0, near.permutations), SIGNATURE_DTYPE)
    return np.memmap(path, SIGNATURE_DTYPE, mode="r").reshape(-1, near.permutations)


def input_digest(unit: Unit) -> str:
    """Hash the bytes of a unit's range of a local file; a missing file has the hash of nothing."""
    if unit.file.is_remote:
        return ""
    digest = xxhash.xxh3_128()
    with suppress(OSError), unit.file.open() as stream:
        stream.seek(unit.start)
        left = unit.file.size if unit.end is None else unit.end - unit.start
        while left > 0 and (chunk := stream.read(min(_BLOCK_BYTES, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()
