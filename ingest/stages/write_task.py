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
class WriteTask:
    """All that a worker needs to write what one bundle gives."""

    number: int
    first_row: int
    """Of the bundle, among the rows of all bundles."""
    rows: int
    rows_path: Path
    tokens_path: Path
    dtype: str
    decisions: Decisions
    places: UnitPlaces
    domains: tuple[str, ...]
    sequence_length: int
    documents: Mapping[int, Path]
    """Parquet file by domain number."""
    token_files: Mapping[Stream, Path]
    """Where the tokens of a stream go, if not all of the bundle's tokens are of that stream."""
    first_tokens: Mapping[Stream, int]
    """Where in each stream the bundle's first token lies."""
    near: Near | None
    """How texts are signed, when they are."""
    signatures_path: Path
    signatures: Path
    """Gets the signatures of the texts that no exact copy has taken out."""
    completion: Path
    """Appears when all is written."""


def make_write_tasks(
    work: Workspace,
    read: Sequence[tuple[ReadTask, BundleSummary]],
    domains: tuple[str, ...],
    sequence_length: int,
    decisions: Decisions,
    counts: Counts,
    places: UnitPlaces,
) -> tuple[list[WriteTask], dict[Stream, list[TokenFile]]]:
    """Make the task of each bundle, and find where the tokens of every stream lie.

    Args:
        work: The output folder.
        read: The bundles as they were read.
        domains: Names of the domains in order.
        sequence_length: Tokens in a sample.
        decisions: About the rows of these bundles.
        counts: What goes where by these decisions.
        places: Where the rows come from.
    """
    files: dict[Stream, list[TokenFile]] = {stream: [] for stream in counts.streams()}
    first_tokens = counts.first_tokens()
    document_files = counts.document_files(domains)
    ranks = {name: rank for rank, name in enumerate(domains)}
    tasks: list[WriteTask] = []
    first_row = 0
    for number, (task, summary) in enumerate(read):
        cut: dict[Stream, Path] = {}
        for stream in counts.streams():
            wanted = int(counts.tokens[number][stream[0], int(stream[1])])
            path = task.tokens_path
            if 0 < wanted < summary.tokens:
                name = f"{number}.{stream[0]}.{int(stream[1])}.tokens"
                path = cut[stream] = work.final / "tokens" / name
            if wanted:
                files[stream].append(TokenFile(path=path, tokens=wanted))
        tasks.append(
            WriteTask(
                number=number,
                first_row=first_row,
                rows=summary.rows,
                rows_path=task.rows_path,
                tokens_path=task.tokens_path,
                dtype=task.encoder.dtype,
                decisions=decisions,
                places=places,
                domains=domains,
                sequence_length=sequence_length,
                documents={
                    ranks.get(name, UNROUTED_RANK): work.documents(name, file)
                    for name, file in document_files[number].items()
                },
                token_files=cut,
                first_tokens={
                    s: int(first_tokens[number][s[0], int(s[1])]) for s in counts.streams()
                },
                near=task.settings.near,
                signatures_path=task.signatures_path,
                signatures=work.signatures(number),
                completion=work.final / "bundles" / f"{number}.json",
            )
        )
        first_row += summary.rows
    return tasks, files
