"""From `corpus.yaml` to a finished shard set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import (
    SPLITS,
    ShardSet,
    SplitSummary,
    content_sha256,
    read_shardset,
    write_shardset,
)
from mixscale.ingest.corpus import UNROUTED, Corpus, domain_names, read_corpus
from mixscale.ingest.dedup.decide import Decisions, Policy, decide
from mixscale.ingest.grow.inputs import file_key, find_changes, read_inputs, record_inputs
from mixscale.ingest.grow.recover import RecoverTask, lacks_tokens, recover_unit
from mixscale.ingest.readers.sources import Unit, cut_units, find_sources
from mixscale.ingest.runtime.execute import Runner, explained, open_runner
from mixscale.ingest.runtime.progress import say, stage
from mixscale.ingest.runtime.workspace import DOCUMENTS, Workspace
from mixscale.ingest.select.rules import make_routing, make_rules
from mixscale.ingest.select.strict import refuse_faults
from mixscale.ingest.stages.count import Stream, Tally, tally
from mixscale.ingest.stages.read import UNROUTED_RANK, Reading, ReadTask, UnitSummary, read_unit
from mixscale.ingest.stages.write_documents import FinishTask, UnitPlaces, finish_unit
from mixscale.ingest.stages.write_shards import StreamTask, pack_streams
from mixscale.ingest.tokenize.encoder import EncoderSpec
from mixscale.ingest.tokenize.prepare import choose_encoder, prepare_tokenizer
from mixscale.ingest.tokenize.tokenizer_files import TokenizerFiles
from mixscale.shards.storage.checksums import checksum_problems, write_checksums
from mixscale.shards.storage.mds import MdsOptions, TokenFile
from mixscale.shards.storage.mds_index import stream_sha256

UNIT_VERSION = 2
"""Changes whenever the same input would give other unit results."""


def build(
    corpus_yaml: str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    executor: str = "local",
    strict: bool = False,
    progress: bool = True,
) -> ShardSet:
    """Make the shard set that a corpus config describes.

    Interrupted at any moment, the same call goes on and ends with the same bytes, whatever the
    number of workers. A finished shard set of the same settings and inputs is left as it is.

    Args:
        corpus_yaml: The settings; local paths in them are relative to this file.
        out: Folder of the shard set.
        workers: Processes that work at the same time; one for each core when not given.
        executor: Where they run.
        strict: Refuse input with records that cannot be read, instead of counting them.
        progress: Tell on standard error how far the build is.

    Raises:
        UserError: The settings, the inputs or the folder do not allow it; the message says how to
            go on.
    """
    corpus_path = Path(corpus_yaml)
    corpus = read_corpus(corpus_path)
    folder = corpus_path.resolve().parent
    work = Workspace(out=Path(out).absolute())
    units = cut_units(find_sources(corpus, folder))
    if work.is_whole():
        shardset = _finished(work, corpus, units, shown=progress)
        if shardset is not None:
            return shardset
    with explained(), work.claimed(), open_runner(executor, workers, work.out) as run:
        job = _Job(corpus=corpus, work=work, units=units, run=run, shown=progress)
        return job.build(folder, strict=strict)


def _finished(
    work: Workspace, corpus: Corpus, units: Sequence[Unit], *, shown: bool
) -> ShardSet | None:
    """Return the finished shard set if it is the one that was asked for, nothing if it can grow.

    Raises:
        UserError: It is neither.
    """
    shardset = read_shardset(work.out)
    changes = find_changes(work, shardset, corpus, units)
    if changes.is_growth:
        say(f"{work.out}: growing by {len(changes.added)} input files", shown=shown)
        return None
    if changes.any:
        raise changes.refusal(work)
    if work.build.is_dir():
        # It was stopped after the last word was written and before the broom.
        with work.claimed():
            _complete(work)
    say(f"{work.out}: already built from the same settings and inputs", shown=shown)
    return shardset


def _complete(work: Workspace) -> None:
    """Do what comes after `shardset.json`."""
    from mixscale.shards.sql.index import rebuild_index

    rebuild_index(work.out)
    work.clean()


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One build under way."""

    corpus: Corpus
    work: Workspace
    units: Sequence[Unit]
    run: Runner
    shown: bool

    def build(self, folder: Path, *, strict: bool) -> ShardSet:
        reading = Reading(
            rules=make_rules(self.corpus),
            routing=make_routing(self.corpus),
            skip_repeats=self.corpus.duplicates.scope != "none",
            near=self.corpus.duplicates.near,
        )
        tokenizer = prepare_tokenizer(
            self.corpus, folder, self.work, self.units, reading, shown=self.shown
        )
        spec = choose_encoder(tokenizer, self.units, reading, self.run, shown=self.shown)
        tasks = self._read_tasks(reading, tokenizer, spec)
        if self.work.is_whole():
            self._recover(tasks)
        summaries = self._read(tasks)
        if strict:
            refuse_faults(tasks, _first_rows(tasks, summaries))
        self.work.begin_final(_digest([self._settings(), [task.stem.name for task in tasks]]))
        decisions = self._decide(tasks, summaries)
        summaries = self._read_again(tasks, summaries, decisions)
        counts = tally([task.rows_path for task in tasks], decisions, len(self._domains))
        _refuse_too_little(self.corpus, counts)
        self.work.clear_output()
        token_files = self._finish_units(tasks, summaries, decisions, counts)
        streams = self._pack(token_files, counts, spec)
        parts = [_part_numbers(self._domains, row) for row in counts.parts().tolist()]
        record_inputs(self.work, tasks, summaries, parts)
        shardset = self._summarize(tokenizer, spec, streams)
        listed = write_checksums(self.work.out, shardset.streams)
        shardset = shardset.model_copy(update={"files_sha256": listed}).sealed()
        write_shardset(self.work.out, shardset)
        _complete(self.work)
        return shardset

    @property
    def _domains(self) -> tuple[str, ...]:
        return domain_names(self.corpus)

    def _settings(self) -> dict[str, Any]:
        return self.corpus.model_dump(mode="json")

    def _read_tasks(
        self, reading: Reading, tokenizer: TokenizerFiles, spec: EncoderSpec
    ) -> list[ReadTask]:
        how = [UNIT_VERSION, repr(reading), tokenizer.sha256, spec.name]
        return [
            ReadTask(
                unit=unit,
                reading=reading,
                encoder=spec,
                stem=self.work.units / _digest([how, asdict(unit.file), unit.start, unit.end]),
            )
            for unit in self.units
        ]

    def _recover(self, tasks: Sequence[ReadTask]) -> None:
        """Take the results of all units that a finished shard set holds out of it again."""
        shardset = read_shardset(self.work.out)
        _refuse_damage(self.work, shardset)
        if shardset.versions.get("encoder") != tasks[0].encoder.name:
            return
        units = [
            (key, unit) for key, file in read_inputs(self.work).items() for unit in file["units"]
        ]
        known = {(key, unit["start"]): (number, unit) for number, (key, unit) in enumerate(units)}
        found = [(task, known.get((file_key(task.unit), task.unit.start))) for task in tasks]
        recover_tasks = [
            RecoverTask(
                read=task,
                digest=known_unit[1]["digest"],
                documents=tuple(
                    self.work.out / DOCUMENTS / name / _part_name(part)
                    for name, part in known_unit[1]["documents"].items()
                ),
                signatures=self.work.signatures(known_unit[0]),
                out=self.work.out,
                sequence_length=self.corpus.sequence_length,
            )
            for task, known_unit in found
            if known_unit is not None and known_unit[1]["documents"]
        ]
        with stage("recovering", len(recover_tasks), "units", shown=self.shown) as advance:
            self.run(recover_unit, recover_tasks, lambda *_: advance(1))

    def _read(self, tasks: Sequence[ReadTask]) -> list[UnitSummary]:
        total = sum(_input_bytes(task.unit) for task in tasks)
        with stage("reading", total, "bytes", shown=self.shown) as advance:
            return self.run(read_unit, tasks, lambda task, _: advance(_input_bytes(task.unit)))

    def _decide(self, tasks: Sequence[ReadTask], summaries: Sequence[UnitSummary]) -> Decisions:
        duplicates, split = self.corpus.duplicates, self.corpus.split
        best_first = list(dict.fromkeys([*duplicates.priority, *self._domains]))
        policy = Policy(
            scope=duplicates.scope,
            priority=tuple(best_first.index(name) for name in self._domains),
            share=split.share,
            documents=split.validation_documents or 0,
            near=duplicates.near,
        )
        folder = self.work.final / "decisions"
        folder.mkdir(exist_ok=True)
        rows = [summary.rows for summary in summaries]
        return decide(
            [task.rows_path for task in tasks],
            rows,
            policy,
            folder,
            [task.signatures_path for task in tasks],
        )

    def _read_again(
        self, tasks: Sequence[ReadTask], summaries: Sequence[UnitSummary], decisions: Decisions
    ) -> Sequence[UnitSummary]:
        """Read the units of which near duplicates come back whose tokens were not recovered."""
        incomplete = [n for n, task in enumerate(tasks) if lacks_tokens(task, n, decisions)]
        for number in incomplete:
            tasks[number].mark.unlink()
        return self._read(tasks) if incomplete else summaries

    def _finish_units(
        self,
        tasks: Sequence[ReadTask],
        summaries: Sequence[UnitSummary],
        decisions: Decisions,
        counts: Tally,
    ) -> dict[Stream, list[TokenFile]]:
        """Write all documents, and find where the tokens of every stream lie."""
        places = UnitPlaces(path=self.work.final / "places.json")
        places.write([task.unit.file.name for task in tasks], _first_rows(tasks, summaries))
        maker = _FinishTasks(
            work=self.work,
            domains=self._domains,
            sequence_length=self.corpus.sequence_length,
            decisions=decisions,
            places=places,
            counts=counts,
        )
        files: dict[Stream, list[TokenFile]] = {stream: [] for stream in counts.streams()}
        finish_tasks = [
            maker.make(number, task, summary.tokens, files)
            for number, (task, summary) in enumerate(zip(tasks, summaries, strict=True))
        ]
        rows = counts.rows.sum(axis=1)
        with stage("documents", int(rows.sum()), "records", shown=self.shown) as advance:
            self.run(finish_unit, finish_tasks, lambda task, _: advance(float(rows[task.number])))
        return files

    def _pack(
        self, token_files: dict[Stream, list[TokenFile]], counts: Tally, spec: EncoderSpec
    ) -> dict[str, dict[str, SplitSummary]]:
        """Write all shards; the streams come back by domain and split."""
        options = MdsOptions(**self.corpus.shards.model_dump())
        streams = [
            StreamTask(
                folder=self.work.stream(self._domains[rank], SPLITS[int(is_validation)]),
                remainder=self.work.remainder(self._domains[rank], SPLITS[int(is_validation)]),
                marks=self.work.final / "shards" / f"{rank}.{int(is_validation)}",
                documents=int(counts.documents[:, rank, int(is_validation)].sum()),
                text_bytes=int(counts.text_bytes[:, rank, int(is_validation)].sum()),
                token_files=tuple(token_files[rank, is_validation]),
                sequence_length=self.corpus.sequence_length,
                dtype=np.dtype(spec.dtype),
                options=options,
            )
            for rank, is_validation in counts.streams()
        ]
        summaries = iter(pack_streams(streams, self.run, shown=self.shown))
        return {name: {split: next(summaries) for split in SPLITS} for name in self._domains}

    def _summarize(
        self,
        tokenizer: TokenizerFiles,
        spec: EncoderSpec,
        streams: dict[str, dict[str, SplitSummary]],
    ) -> ShardSet:
        return ShardSet(
            mixscale_version=_version("mixscale"),
            sequence_length=self.corpus.sequence_length,
            tokenizer=tokenizer.summary(),
            domains=streams,  # pyright: ignore[reportArgumentType]  # the keys are SPLITS
            config=self._settings(),
            versions={"encoder": spec.name, spec.name: _version(spec.name)},
            content_sha256=content_sha256(tokenizer.sha256, streams),
        )


@dataclass(frozen=True, kw_only=True)
class _FinishTasks:
    """Makes the tasks of the stage that writes the documents."""

    work: Workspace
    domains: tuple[str, ...]
    sequence_length: int
    decisions: Decisions
    places: UnitPlaces
    counts: Tally

    def make(
        self, number: int, task: ReadTask, tokens: int, files: dict[Stream, list[TokenFile]]
    ) -> FinishTask:
        """Make the task of one unit, and add its token files to those of the streams."""
        cut: dict[Stream, Path] = {}
        for stream in self.counts.streams():
            wanted = int(self.counts.tokens[number][stream[0], int(stream[1])])
            path = task.tokens_path
            if 0 < wanted < tokens:
                name = f"{number}.{stream[0]}.{int(stream[1])}.tokens"
                path = cut[stream] = self.work.final / "tokens" / name
            if wanted:
                files[stream].append(TokenFile(path=path, tokens=wanted))
        first_tokens = self.counts.first_tokens()[number]
        return FinishTask(
            number=number,
            rows_path=task.rows_path,
            tokens_path=task.tokens_path,
            dtype=task.encoder.dtype,
            decisions=self.decisions,
            places=self.places,
            domains=self.domains,
            sequence_length=self.sequence_length,
            documents=self._document_paths(number),
            token_files=cut,
            first_tokens={s: int(first_tokens[s[0], int(s[1])]) for s in self.counts.streams()},
            near=task.reading.near,
            signatures_path=task.signatures_path,
            signatures=self.work.signatures(number),
            mark=self.work.final / "units" / f"{number}.json",
        )

    def _document_paths(self, number: int) -> dict[int, Path]:
        parts = _part_numbers(self.domains, self.counts.parts()[number].tolist())
        ranks = {name: rank for rank, name in enumerate(self.domains)}
        return {
            ranks.get(name, UNROUTED_RANK): self.work.out / DOCUMENTS / name / _part_name(part)
            for name, part in parts.items()
        }


def _part_numbers(domains: Sequence[str], parts: Sequence[int]) -> dict[str, int]:
    """Name the domains of which a unit has rows, with the numbers of its Parquet files."""
    return {name: part for name, part in zip([*domains, UNROUTED], parts, strict=True) if part >= 0}


def _part_name(part: int) -> str:
    return f"part-{part:05}.parquet"


def _first_rows(tasks: Sequence[ReadTask], summaries: Sequence[UnitSummary]) -> list[int]:
    """Number in its file, from 1, the first row of every unit."""
    first_rows: list[int] = []
    next_row: dict[str, int] = {}
    for task, summary in zip(tasks, summaries, strict=True):
        row = next_row.get(task.unit.file.address, 1)
        first_rows.append(row)
        next_row[task.unit.file.address] = row + summary.rows
    return first_rows


def _refuse_too_little(corpus: Corpus, counts: Tally) -> None:
    """Stop when a stream that was asked for could not hold one sample.

    Raises:
        UserError: Names all such streams.
    """
    length = corpus.sequence_length
    lines: list[str] = []
    for rank, name in enumerate(domain_names(corpus)):
        for number, split in enumerate(SPLITS):
            tokens = int(counts.tokens[:, rank, number].sum())
            documents = int(counts.documents[:, rank, number].sum())
            if tokens < length and (number == 0 or corpus.split.holds_out):
                lines.append(
                    f"  {name}/{split}: {documents} documents with {tokens} tokens "
                    f"of {int(counts.rows[:, rank].sum())} records read"
                )
    if lines:
        shown = "\n".join(lines)
        raise UserError(
            f"too little text for one sample of {length} tokens:\n{shown}\n"
            "give these domains more text, lower `sequence_length`, or change `split`"
        )


def _refuse_damage(work: Workspace, shardset: ShardSet) -> None:
    """Make sure that a shard set is what was built, before anything is taken out of it.

    Raises:
        UserError: It is not.
    """
    found = checksum_problems(work.out, shardset.files_sha256, shardset.streams)
    problems = [f"{name}: {message}" for name, message in found]
    for stream in shardset.streams:
        domain, split = stream.split("/")
        summary = shardset.domains[domain][split]  # pyright: ignore[reportArgumentType]
        if not problems and stream_sha256(work.out / stream) != summary.sha256:
            problems.append(f"{stream}: the shards are not the ones that were built")
    if problems:
        raise UserError(
            f"{work.out}: cannot grow, because it is damaged:\n  " + "\n  ".join(problems) + "\n"
            "put back what was changed, or build into another folder"
        )


def _digest(value: Any) -> str:
    return xxhash.xxh3_128_hexdigest(repr(value).encode("utf-8"))


def _input_bytes(unit: Unit) -> int:
    return (unit.file.size if unit.end is None else unit.end) - unit.start


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
