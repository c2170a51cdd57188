"""From `corpus.yaml` to a finished shard set: the stages of a build in their order."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from mixscale.contracts.shardset import (
    SPLITS,
    ShardSet,
    SplitSummary,
    content_sha256,
    read_shardset,
    write_shardset,
)
from mixscale.ingest.corpus import (
    Corpus,
    domain_names,
    domains_with_validation_files,
    read_corpus,
)
from mixscale.ingest.decisions import Decisions
from mixscale.ingest.dedup.decide import Policy, decide
from mixscale.ingest.dedup.groups import Source
from mixscale.ingest.grow.changes import find_changes
from mixscale.ingest.grow.inputs import record_inputs
from mixscale.ingest.grow.recover import recover_units
from mixscale.ingest.outcomes import Outcomes
from mixscale.ingest.readers.bundles import Bundle, bundle_units
from mixscale.ingest.readers.cut_units import cut_units
from mixscale.ingest.readers.find_files import find_files
from mixscale.ingest.readers.local_files import expand_path
from mixscale.ingest.readers.registry import find_reader
from mixscale.ingest.readers.source_file import Unit
from mixscale.ingest.refuse import (
    parse_share,
    refuse_malformed,
    refuse_too_little_text,
    refuse_too_malformed,
)
from mixscale.ingest.runtime.execute import open_runner
from mixscale.ingest.runtime.failures import machine_failures_explained
from mixscale.ingest.runtime.progress import print_status, stage
from mixscale.ingest.runtime.runner import Runner
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.select.classify import ReadSettings
from mixscale.ingest.select.rules import make_routing, make_rules
from mixscale.ingest.stages.count import Counts, Stream, count_rows
from mixscale.ingest.stages.read import BundleSummary, ReadTask, read_bundle
from mixscale.ingest.stages.survey import survey_rows
from mixscale.ingest.stages.unit_places import UnitPlaces
from mixscale.ingest.stages.write_documents import write_bundle
from mixscale.ingest.stages.write_shards import StreamTask, write_shards
from mixscale.ingest.stages.write_task import WriteSettings, make_write_tasks
from mixscale.ingest.stages.write_unfinished import write_unfinished
from mixscale.ingest.tokenize.choose_encoder import choose_encoder
from mixscale.ingest.tokenize.encoder import EncoderSpec
from mixscale.ingest.tokenize.prepare_tokenizer import prepare_tokenizer
from mixscale.ingest.tokenize.tokenizer_files import TokenizerFiles, source_sha256
from mixscale.ingest.unit_rows import ROWS
from mixscale.shards.storage.checksums import write_checksums
from mixscale.shards.storage.mds import MdsOptions, TokenFile

_INDEX = "mixscale.shards.sql.index"
_MOST_COPIED = 100_000
"""Units, the names of which copies of this process hold too."""
UNIT_VERSION = 5
"""Changes whenever the same input would give other results of reading."""
FINAL_VERSION = 1
"""Changes whenever what an interrupted build has left after reading could not be used."""


def build(
    corpus_yaml: str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    executor: str = "local",
    strict: bool = False,
    max_malformed: str | float | None = None,
    progress: bool = True,
    own_process: bool = False,
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
        max_malformed: Refuse a domain of whose records a larger share cannot be read: `1%`, 0.01.
        progress: Show on standard error how far the build is.
        own_process: Whether this process does nothing else, so that workers may be copies of it:
            that saves a third of the work that does not grow with the text.

    Raises:
        UserError: The settings, the inputs or the folder do not allow it; the message says how to
            go on.
    """
    most = None if max_malformed is None else parse_share(max_malformed)
    corpus_path = Path(corpus_yaml)
    corpus = read_corpus(corpus_path)
    folder = corpus_path.resolve().parent
    work = Workspace(out=Path(out).absolute())
    units = cut_units(find_files(corpus, folder, _own_files(corpus, corpus_path, work)))
    if work.is_whole():
        shardset = _finished(work, corpus, units, _tokenizer_source(corpus, folder), progress)
        if shardset is not None:
            return shardset
    with (
        machine_failures_explained(),
        work.locked(),
        # Copies of a process that holds many names would copy these too, bit by bit.
        open_runner(
            executor, workers, work.out, may_fork=own_process and len(units) <= _MOST_COPIED
        ) as run,
    ):
        job = _Job(corpus=corpus, work=work, units=units, run=run, progress=progress)
        return job.build(folder, strict=strict, max_malformed=most)


def _own_files(corpus: Corpus, corpus_path: Path, work: Workspace) -> list[Path]:
    """List what lies beside the input and is none, however wide its patterns are."""
    own = [work.out, corpus_path]
    if corpus.tokenizer.name is not None:
        own.append(corpus_path.resolve().parent / expand_path(corpus.tokenizer.name))
    return own


def _tokenizer_source(corpus: Corpus, folder: Path) -> str | None:
    name = corpus.tokenizer.name
    return None if name is None else source_sha256(name, folder)


def _finished(
    work: Workspace,
    corpus: Corpus,
    units: Sequence[Unit],
    tokenizer_source: str | None,
    progress: bool,
) -> ShardSet | None:
    """Return the finished shard set if it is the one that was asked for, nothing if it can grow.

    Raises:
        UserError: It is neither.
    """
    shardset = read_shardset(work.out)
    changes = find_changes(work, shardset, corpus, units, tokenizer_source)
    if changes.is_growth:
        print_status(f"{work.out}: growing by {len(changes.added)} input files", progress=progress)
        return None
    if changes.any:
        raise changes.refusal(work)
    if work.build.is_dir():
        # It was stopped after `shardset.json` was written, before the rest was done.
        with work.locked():
            _complete(work)
    print_status(f"{work.out}: already built from the same settings and inputs", progress=progress)
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
    progress: bool

    def build(self, folder: Path, *, strict: bool, max_malformed: float | None) -> ShardSet:
        settings = ReadSettings(
            rules=make_rules(self.corpus),
            routing=make_routing(self.corpus),
            skip_repeats=self.corpus.duplicates.scope != "none",
            near=self.corpus.duplicates.near,
        )
        tokenizer = prepare_tokenizer(
            self.corpus, folder, self.work, self.units, settings, progress=self.progress
        )
        spec = choose_encoder(tokenizer, self.units, settings, self.run, progress=self.progress)
        # Workers may be copies of this process, and are made with the first task.
        self.run(_nothing, [None], _nothing)
        # The index needs it in the end; until then this process has little to do.
        threading.Thread(target=import_module, args=(_INDEX,)).start()
        tasks = self._read_tasks(settings, tokenizer, spec)
        if self.work.is_whole():
            recover_units(
                self.work, tasks, self.corpus.sequence_length, self.run, progress=self.progress
            )
        summaries = self._read(tasks)
        stems = [task.stem.name for task in tasks]
        self.work.begin_final(_digest([FINAL_VERSION, self._settings(), stems]))
        places = UnitPlaces(path=self.work.final / "places.arrow")
        places.write(tasks, summaries)
        outcomes = self._outcomes(tasks, summaries, places)

        def show() -> str:
            return self._show_records(tasks, summaries, places)

        if strict:
            refuse_malformed(outcomes, show)
        if max_malformed is not None:
            refuse_too_malformed(outcomes, max_malformed, show)
        decisions = self._decide(tasks, summaries)
        counts = self._count(tasks, summaries, decisions)
        if counts.lacking.any():
            summaries = self._read_again(tasks, counts)
            counts = self._count(tasks, summaries, decisions)
        refuse_too_little_text(self.corpus, counts, outcomes, show)
        for line in outcomes.warnings():
            print_status(line, progress=self.progress)
        self.work.clear_output()
        token_files, hashes = self._write_documents(tasks, summaries, decisions, counts, places)
        streams = self._write_shards(token_files, counts, spec)
        source = _tokenizer_source(self.corpus, folder)
        files = counts.document_files(self._domains)
        record_inputs(self.work, tasks, summaries, files, source)
        shardset = self._summarize(tokenizer, spec, streams)
        listed = write_checksums(self.work.out, shardset.streams, hashes)
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
        self, settings: ReadSettings, tokenizer: TokenizerFiles, spec: EncoderSpec
    ) -> list[ReadTask]:
        how = [UNIT_VERSION, str(ROWS), repr(settings), tokenizer.sha256, spec.name]
        how += [spec.bos_token_id]
        tasks: list[ReadTask] = []
        for units in bundle_units(self.units):
            name = _digest([how, [_unit_values(unit) for unit in units]])
            stem = self.work.units / name
            tasks.append(ReadTask(units=units, settings=settings, encoder=spec, stem=stem))
        return tasks

    def _read(self, tasks: Sequence[ReadTask]) -> list[BundleSummary]:
        total = sum(_input_bytes(task.units) for task in tasks)
        with stage("reading", total, "bytes", progress=self.progress) as advance:
            return self.run(read_bundle, tasks, lambda task, _: advance(_input_bytes(task.units)))

    def _outcomes(
        self,
        tasks: Sequence[ReadTask],
        summaries: Sequence[BundleSummary],
        places: UnitPlaces,
    ) -> Outcomes:
        rows = [summary.rows for summary in summaries]
        paths = [task.rows_path for task in tasks]
        survey = survey_rows(paths, rows, len(self._domains), self.run)
        return Outcomes(survey=survey, places=places, domains=self._domains)

    def _show_records(
        self,
        tasks: Sequence[ReadTask],
        summaries: Sequence[BundleSummary],
        places: UnitPlaces,
    ) -> str:
        """Write the records of a build that refuses its input; returns how to look at them."""
        rows = [summary.rows for summary in summaries]
        paths = [task.rows_path for task in tasks]
        folder = self.work.unfinished_documents
        write_unfinished(paths, rows, places, self._domains, folder, self.run)
        return f'all records: mixscale sql {self.work.out} "SELECT * FROM rejects"'

    def _decide(self, tasks: Sequence[ReadTask], summaries: Sequence[BundleSummary]) -> Decisions:
        duplicates, split = self.corpus.duplicates, self.corpus.split
        best_first = list(dict.fromkeys([*duplicates.priority, *self._domains]))
        policy = Policy(
            scope=duplicates.scope,
            priority=tuple(best_first.index(name) for name in self._domains),
            share=split.share,
            documents=split.validation_documents or 0,
            with_files=domains_with_validation_files(self.corpus),
            near=duplicates.near,
        )
        sources = [
            Source(
                rows_path=task.rows_path,
                rows=summary.rows,
                is_validation=task.units[0].file.is_validation,
                signatures_path=None if duplicates.near is None else task.signatures_path,
            )
            for task, summary in zip(tasks, summaries, strict=True)
        ]
        folder = self.work.final / "decisions"
        return decide(sources, policy, folder, self.run, progress=self.progress)

    def _count(
        self, tasks: Sequence[ReadTask], summaries: Sequence[BundleSummary], decisions: Decisions
    ) -> Counts:
        return count_rows(
            [task.rows_path for task in tasks],
            [summary.rows for summary in summaries],
            decisions,
            len(self._domains),
            self.run,
        )

    def _read_again(self, tasks: Sequence[ReadTask], counts: Counts) -> list[BundleSummary]:
        """Read the bundles of which near duplicates come back whose tokens were not recovered."""
        for number in np.flatnonzero(counts.lacking).tolist():
            tasks[number].completion.unlink()
        return self._read(tasks)

    def _write_documents(
        self,
        tasks: Sequence[ReadTask],
        summaries: Sequence[BundleSummary],
        decisions: Decisions,
        counts: Counts,
        places: UnitPlaces,
    ) -> tuple[dict[Stream, list[TokenFile]], dict[str, str]]:
        """Write all documents; finds the tokens of every stream, and the hashes of the files."""
        settings = WriteSettings(
            work=self.work,
            decisions=decisions,
            places=places,
            domains=self._domains,
            sequence_length=self.corpus.sequence_length,
        )
        read = list(zip(tasks, summaries, strict=True))
        write_tasks, files = make_write_tasks(settings, read, counts)
        rows = counts.rows.sum(axis=1)
        with stage("documents", int(rows.sum()), "records", progress=self.progress) as advance:
            done = self.run(
                write_bundle, write_tasks, lambda task, _: advance(float(rows[task.number]))
            )
        return files, {path: sha256 for hashes in done for path, sha256 in hashes.items()}

    def _write_shards(
        self, token_files: dict[Stream, list[TokenFile]], counts: Counts, spec: EncoderSpec
    ) -> dict[str, dict[str, SplitSummary]]:
        """Write all shards; the streams come back by domain and split."""
        options = MdsOptions(**self.corpus.shards.model_dump())
        streams = [
            StreamTask(
                folder=self.work.stream(self._domains[rank], SPLITS[int(is_validation)]),
                remainder=self.work.remainder(self._domains[rank], SPLITS[int(is_validation)]),
                completions=self.work.final / "shards" / f"{rank}.{int(is_validation)}",
                documents=int(counts.documents[:, rank, int(is_validation)].sum()),
                text_bytes=int(counts.text_bytes[:, rank, int(is_validation)].sum()),
                token_files=tuple(token_files[rank, is_validation]),
                sequence_length=self.corpus.sequence_length,
                dtype=np.dtype(spec.dtype),
                options=options,
            )
            for rank, is_validation in counts.streams()
        ]
        summaries = iter(write_shards(streams, self.run, progress=self.progress))
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


def _nothing(*_: object) -> None:
    pass


def _digest(value: Any) -> str:
    return xxhash.xxh3_128_hexdigest(repr(value).encode("utf-8"))


def _unit_values(unit: Unit) -> tuple[Any, ...]:
    """Give all that the results of reading a unit depend on."""
    return find_reader(unit.file.format).source, *vars(unit.file).values(), unit.start, unit.end


def _input_bytes(units: Bundle) -> int:
    return sum((u.file.size if u.end is None else u.end) - u.start for u in units)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
