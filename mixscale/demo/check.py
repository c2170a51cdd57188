"""The run to come, trained with the recommended mixture and with those it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixscale.api.comparison import MetricDifference, compare
from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RESULT, RunRecord, read_record, run_folder
from mixscale.contracts.shardset import ShardSet

if TYPE_CHECKING:
    from mixscale.train.executors.job import Job

RECOMMENDED = "recommended"
EQUAL = "equal shares"
NATURAL = "as found"
ONLY = "only what counts"
OTHERS = (EQUAL, NATURAL, ONLY)
"""What one would take without an answer: all domains alike, all text alike, or only the domains
that the model is for, as much of each as it counts."""
FILES = {
    EQUAL: "run.yaml",
    NATURAL: "run-natural.yaml",
    ONLY: "run-only.yaml",
    RECOMMENDED: "run-recommended.yaml",
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """What the runs measured."""

    records: Mapping[str, RunRecord]
    """By mixture, see `FILES`."""
    differences: Mapping[str, Mapping[str, MetricDifference]]
    """By other mixture, then by domain of the objective: its loss less that of the recommended
    one."""


def write_others(out: Path, shardset: ShardSet, objective: Mapping[str, float]) -> None:
    """Write the runs with the mixtures to beat beside `run.yaml`, which has equal shares."""
    from mixscale.fit.apply.stream_proportions import with_proportions
    from mixscale.train.sweep.design import mixture_of

    text = (out / FILES[EQUAL]).read_text(encoding="utf-8")
    mixtures = {
        NATURAL: (mixture_of("natural", shardset), "all text equally often"),
        ONLY: (mixture_of(dict(objective), shardset), "the shares of the objective"),
    }
    for name, (shares, meaning) in mixtures.items():
        with atomic_write(out / FILES[name]) as stream:
            stream.write(with_proportions(text, shares, provenance=meaning))


def check(
    out: Path,
    objective: Mapping[str, float],
    *,
    workers: int | None,
    report: Callable[[str], None],
) -> Check:
    """Train the four runs, those that have a record left out, and compare them.

    Args:
        out: The demo's folder, with the files of the runs.
        objective: Share of the objective by domain.
        workers: Runs at a time.
        report: Gets a line for each run that ends.

    Raises:
        UserError: A run failed.
    """
    from mixscale.train.executors.local import run_jobs
    from mixscale.train.executors.progress import JobProgress

    jobs = {label: _job(out, label) for label in FILES}
    missing = [job for job in jobs.values() if not (job.folder / RESULT).is_file()]
    with JobProgress({job.name: job.tokens for job in missing}, report) as progress:
        died = run_jobs(missing, workers=workers, retries=1, progress=progress)
    for name, reason in died.items():
        raise UserError(f"{name}: {reason}")
    folders = {label: job.folder for label, job in jobs.items()}
    return Check(
        records={label: read_record(folder / RESULT) for label, folder in folders.items()},
        differences={
            other: _differences(folders[RECOMMENDED], folders[other], objective) for other in OTHERS
        },
    )


def _job(out: Path, label: str) -> Job:
    from mixscale.train.config import load_run_config
    from mixscale.train.executors.job import Job
    from mixscale.train.run.run_id import content_of, run_id

    config = load_run_config(out / FILES[label])
    name = run_id(config, content_of(config), f"check-{label.replace(' ', '-')}")
    return Job(
        name=name,
        config=config,
        folder=run_folder(out / "shardset", name),
        purpose={},
        tokens=int(config.max_duration.removesuffix("tok")),
    )


def _differences(
    recommended: Path, other: Path, objective: Mapping[str, float]
) -> dict[str, MetricDifference]:
    found = {one.name: one for one in compare(recommended, other).differences}
    return {domain: found[f"loss:{domain}"] for domain in objective}
