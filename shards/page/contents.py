"""Everything that the page shows, gathered from the index and the shards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import (
    FILE_NAME,
    SPLITS,
    ShardSet,
    SplitSummary,
    read_shardset,
)
from mixscale.shards.page import queries
from mixscale.shards.page.queries import FileLoss, Kept, Lengths, Part, Reason
from mixscale.shards.sql.unfinished import open_records

_MOST_SHOWN = 60
"""Domains of which texts are shown."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The beginning of a document."""

    document: Kept
    text: str
    is_whole: bool


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is known of a shard set, or of a build that was not finished."""

    folder: Path
    shardset: ShardSet | None
    """Nothing when the build was not finished."""
    parts: list[Part]
    lengths: dict[str, Lengths]
    unit: str
    """Of the lengths: tokens, or bytes where there are no tokens yet."""
    reasons: list[Reason]
    worst_files: list[FileLoss]
    copies: dict[tuple[str, str], tuple[int, int]]
    copy_examples: dict[str, list[tuple[str, str]]]
    """By status: where a copy is, and where the record that stays."""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    """Why texts could not be read back."""

    @property
    def domains(self) -> list[str]:
        """The domains in the order of the corpus config, then what belongs to none."""
        known = self.shardset.domain_names if self.shardset else ()
        found = dict.fromkeys([*known, *(part.domain for part in self.parts)])
        return list(found)

    def records(self, **wanted: str | None) -> int:
        """Count the records with these values of domain, split, status."""
        return queries.count_by(self.parts, **wanted)

    def bytes(self, domain: str, status: str) -> int:
        """Sum the bytes of the texts of a domain with a status."""
        return sum(p.bytes for p in self.parts if (p.domain, p.status) == (domain, status))

    def tokens(self, domain: str, split: str) -> int:
        """Return the tokens of the documents of a domain and split."""
        summary = self._summary(domain, split)
        return summary.tokens if summary else 0

    def documents(self, domain: str, split: str) -> int:
        """Return how many documents a domain and split has."""
        summary = self._summary(domain, split)
        return summary.documents if summary else 0

    def _summary(self, domain: str, split: str) -> SplitSummary | None:
        splits = self.shardset.domains.get(domain, {}) if self.shardset else {}
        return next((one for name, one in splits.items() if name == split), None)

    def tokens_per_byte(self, domain: str) -> float | None:
        """Divide the tokens of the kept texts of a domain by their bytes."""
        found = [one for split in SPLITS if (one := self._summary(domain, split)) is not None]
        size = sum(one.text_bytes for one in found)
        return sum(one.tokens for one in found) / size if size else None


def gather(folder: Path) -> Contents:
    """Ask the index, and read some texts back from the shards.

    Raises:
        UserError: The folder is neither a shard set nor a build with records to look at.
    """
    root = folder.resolve()
    is_finished = (root / FILE_NAME).is_file()
    unit = "tokens" if is_finished else "bytes"
    with _readable(folder), open_records(folder) as connection:
        shardset = read_shardset(folder) if is_finished else None
        chosen = queries.sampled(connection) if is_finished else []
        found = Contents(
            folder=folder,
            shardset=shardset,
            parts=queries.parts(connection),
            lengths=queries.lengths(connection, unit),
            unit=unit,
            reasons=queries.reasons(connection),
            worst_files=queries.worst_files(connection),
            copies=queries.copies(connection) if is_finished else {},
            copy_examples=queries.copy_examples(connection) if is_finished else {},
        )
    if shardset is not None:
        _add_texts(found, root, shardset, chosen)
    return found


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Say of files that cannot be read where to look."""
    try:
        yield
    except duckdb.Error as error:
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        raise UserError(
            f"{folder}: cannot read its documents: {reason}; `mixscale verify {folder}` says what "
            "is damaged"
        ) from error


def _add_texts(contents: Contents, root: Path, shardset: ShardSet, chosen: list[Kept]) -> None:
    """Read texts back; a damaged file costs its texts, not the page."""
    from mixscale.shards.page.samples import TextReader

    shown = set(shardset.domain_names[:_MOST_SHOWN])
    try:
        reader = TextReader(root, shardset)
    except Exception as error:  # tokenizers raises plain Exception
        contents.unreadable.append(f"the tokenizer cannot be read ({error})")
        return
    for document in chosen:
        if document.domain not in shown:
            continue
        try:
            text = reader.text(document)
        except Exception as error:  # every compression library has its own
            contents.unreadable.append(f"{document.domain}: {error}")
            continue
        if text is not None:
            sample = Sample(document=document, text=text, is_whole=reader.is_whole(document))
            contents.samples.setdefault(document.domain, []).append(sample)
