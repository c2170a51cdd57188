"""Which copy of a text stays, and which texts are held out, decided over all bundles together.

All of it is lists of independent tasks, each of which holds so many rows or about as many texts.
What they leave for each other lies in files; nothing here grows with the rows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from mixscale.ingest.corpus import Near
from mixscale.ingest.decisions import Decisions
from mixscale.ingest.dedup.chains import ChainTask, answer, ask
from mixscale.ingest.dedup.exact import CompareTask, ExactStage, ScatterTask, compare, scatter
from mixscale.ingest.dedup.finish import FinishTask, Holdout, find_lowest, finish, lowest_hashes
from mixscale.ingest.dedup.groups import Group, Source, group_rows, rows_of_group
from mixscale.ingest.dedup.near_duplicates import (
    BandTask,
    NearStage,
    SignedTask,
    collect,
    match,
    spread,
)
from mixscale.ingest.dedup.signature_files import SignatureFiles
from mixscale.ingest.runtime.progress import Advance, stage
from mixscale.ingest.runtime.runner import Runner

Scope = Literal["corpus", "domain", "none"]
Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How copies and splits are chosen."""

    scope: Scope
    priority: tuple[int, ...]
    """By domain: lower wins."""
    share: float | None
    """Share of the texts held out for validation, or nothing when `documents` counts."""
    documents: int
    """Documents of each domain held out for validation."""
    with_files: frozenset[int] = frozenset()
    """Domains that have files for validation; share and number do not count for them."""
    near: Near | None = None
    """When two texts count as nearly the same; nothing when they may be."""


def decide(
    sources: Sequence[Source],
    policy: Policy,
    folder: Path,
    run: Runner,
    *,
    progress: bool = False,
) -> Decisions:
    """Decide about all rows.

    Args:
        sources: The results of reading every bundle, in order.
        policy: How copies and splits are chosen.
        folder: For the answer; what an interrupted call has left there is used.
        run: Runs the tasks.
        progress: Whether to show how far it is.
    """
    size = rows_of_group(sum(source.rows for source in sources))
    decisions = Decisions(folder=folder, group_rows=size)
    done = folder / "done"
    if done.exists():
        return decisions
    folder.mkdir(parents=True, exist_ok=True)
    groups = group_rows(sources, size)
    bands = policy.near.bands()[0] if policy.near else 0
    # Two lists for copies, two for each band, one for the end; chains are short.
    total = len(groups) * (1 + 2 * (policy.scope != "none") + (bands > 0) + 2 * bands)
    with stage("copies", total, "tasks", progress=progress) as advance:
        deciding = _Deciding(
            groups=groups,
            policy=policy,
            decisions=decisions,
            work=folder / "work",
            run=run,
            advance=advance,
        )
        deciding.all(sources)
    done.touch()
    shutil.rmtree(folder / "work", ignore_errors=True)
    return decisions


@dataclass(frozen=True, kw_only=True)
class _Deciding:
    """One run through all lists of tasks."""

    groups: Sequence[Group]
    policy: Policy
    decisions: Decisions
    work: Path
    """For what the tasks leave for each other."""
    run: Runner
    advance: Advance

    def all(self, sources: Sequence[Source]) -> None:
        exact = chains = None
        if self.policy.scope != "none" and self.groups:
            exact = self._exact()
            if self.policy.near is not None:
                chains = self._near(exact, sources, self.policy.near)
        self._finish(exact, chains)

    def _run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        return self.run(function, tasks, lambda *_: self.advance(1))

    def _exact(self) -> ExactStage:
        count = len(self.groups)
        stage = ExactStage(
            folder=self.work / "exact",
            groups=count,
            parts=count,
            priority=self.policy.priority,
            by_domain=self.policy.scope == "domain",
            group_rows=self.decisions.group_rows,
        )
        self._run(scatter, [ScatterTask(stage=stage, group=group) for group in self.groups])
        self._run(compare, [CompareTask(stage=stage, part=part) for part in range(count)])
        return stage

    def _near(
        self, exact: ExactStage, sources: Sequence[Source], near: Near
    ) -> dict[int, ChainTask]:
        """Find near duplicates; returns the last round of chains, by group."""
        folder = self.work / "near"
        signatures = SignatureFiles(path=folder / "signatures.arrow")
        signatures.write(sources)
        stage = NearStage(folder=folder, exact=exact, near=near, signatures=signatures)
        self._run(collect, [SignedTask(stage=stage, group=group) for group in self.groups])
        for band in range(near.bands()[0]):
            self._match_band(stage, band)
        chains = [ChainTask(stage=stage, group=group, round=0) for group in self.groups]
        self.run(ask, chains, _nothing)
        while sum(self.run(answer, chains, _nothing)):
            chains = [replace(task, round=task.round + 1) for task in chains]
            self.run(ask, chains, _nothing)
        return {task.group.number: task for task in chains}

    def _match_band(self, stage: NearStage, band: int) -> None:
        done = stage.folder / f"band-{band}.done"
        if done.exists():
            return
        groups = range(stage.exact.groups)
        tasks = [BandTask(stage=stage, number=number, band=band) for number in groups]
        self._run(spread, tasks)
        self._run(match, tasks)
        done.touch()
        # What groups left for parts is the most of all scratch, and of no more use.
        shutil.rmtree(stage.banded(band).folder)

    def _finish(self, exact: ExactStage | None, chains: dict[int, ChainTask] | None) -> None:
        holdout = Holdout(share=self.policy.share, path=self.work / "lowest")
        tasks = [
            FinishTask(
                group=group,
                exact=exact,
                chain=None if chains is None else chains[group.number],
                holdout=holdout,
                decisions=self.decisions,
                documents=self.policy.documents,
                with_files=self.policy.with_files,
            )
            for group in self.groups
        ]
        if self.policy.share is None:
            holdout.write(lowest_hashes(self._lowest(tasks), self.policy.documents))
        self._run(finish, tasks)

    def _lowest(self, tasks: Sequence[FinishTask]) -> Sequence[Path]:
        return self.run(find_lowest, tasks, _nothing)


def _nothing(*_: object) -> None:
    pass
