"""The tasks of writing documents and token files, one for each bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixscale.ingest.corpus import Near
from mixscale.ingest.decisions import Decisions
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.stages.count import Counts, Stream
from mixscale.ingest.stages.read import BundleSummary, ReadTask
from mixscale.ingest.stages.unit_places import UnitPlaces
from mixscale.ingest.unit_rows import UNROUTED_RANK
from mixscale.shards.storage.mds import TokenFile


@dataclass(frozen=True, kw_only=True)
class WriteSettings:
    """What all tasks share."""

    work: Workspace
    decisions: Decisions
    places: UnitPlaces
    domains: tuple[str, ...]
    sequence_length: int


@dataclass(frozen=True, kw_only=True)
class WriteTask:
    """All that a worker needs to write what one bundle gives.

    Paths are made when they are asked for: there may be millions of tasks.
    """

    settings: WriteSettings
    read: ReadTask
    """How the bundle was read."""
    number: int
    first_row: int
    """Of the bundle, among the rows of all bundles."""
    rows: int
    document_files: Mapping[str, int]
    """Number of the Parquet file, by domain; `UNROUTED` may be one."""
    cut_streams: tuple[Stream, ...]
    """Streams that get some of the bundle's tokens, but not all."""
    first_tokens: Mapping[Stream, int]
    """Where the bundle's first token lies in each stream that gets some."""

    @property
    def decisions(self) -> Decisions:
        """About the rows of all bundles."""
        return self.settings.decisions

    @property
    def documents(self) -> dict[int, Path]:
        """The Parquet file by domain number."""
        ranks = {name: rank for rank, name in enumerate(self.settings.domains)}
        work = self.settings.work
        return {
            ranks.get(name, UNROUTED_RANK): work.documents(name, number)
            for name, number in self.document_files.items()
        }

    @property
    def token_files(self) -> dict[Stream, Path]:
        """Where the tokens of a stream go, if not all of the bundle's tokens are of that stream."""
        return {stream: self.token_file(stream) for stream in self.cut_streams}

    def token_file(self, stream: Stream) -> Path:
        """Name the file with the tokens of a stream."""
        if stream not in self.cut_streams:
            return self.read.tokens_path
        name = f"{self.number}.{stream[0]}.{int(stream[1])}.tokens"
        return self.settings.work.final / "tokens" / name

    @property
    def near(self) -> Near | None:
        """How texts are signed, when they are."""
        return self.read.settings.near

    @property
    def signatures(self) -> Path:
        """Gets the signatures of the texts that no exact copy has taken out."""
        return self.settings.work.signatures(self.number)

    @property
    def completion(self) -> Path:
        """Appears when all is written."""
        return self.settings.work.final / "bundles" / f"{self.number}.json"


def make_write_tasks(
    settings: WriteSettings, read: Sequence[tuple[ReadTask, BundleSummary]], counts: Counts
) -> tuple[list[WriteTask], dict[Stream, list[TokenFile]]]:
    """Make the task of each bundle, and find where the tokens of every stream lie.

    Args:
        settings: What all tasks share.
        read: The bundles as they were read.
        counts: What goes where by the decisions.
    """
    files: dict[Stream, list[TokenFile]] = {stream: [] for stream in counts.streams()}
    first_tokens = counts.first_tokens()
    document_files = counts.document_files(settings.domains)
    tasks: list[WriteTask] = []
    first_row = 0
    for number, (task, summary) in enumerate(read):
        ranks, splits = counts.tokens[number].nonzero()
        wanted = counts.tokens[number][ranks, splits].tolist()
        firsts = first_tokens[number][ranks, splits].tolist()
        streams = list(zip(ranks.tolist(), map(bool, splits.tolist()), strict=True))
        cut = [s for s, tokens in zip(streams, wanted, strict=True) if tokens < summary.tokens]
        tasks.append(
            WriteTask(
                settings=settings,
                read=task,
                number=number,
                first_row=first_row,
                rows=summary.rows,
                document_files=document_files[number],
                cut_streams=tuple(cut),
                first_tokens=dict(zip(streams, firsts, strict=True)),
            )
        )
        for stream, tokens in zip(streams, wanted, strict=True):
            files[stream].append(TokenFile(path=tasks[-1].token_file(stream), tokens=tokens))
        first_row += summary.rows
    return tasks, files
