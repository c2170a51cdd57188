"""What the records of the evidence say, by SQL, by experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from examples.evidence.experiments import EXPERIMENTS, HERE, OUT
from mixscale.contracts.experiment import Experiment, read_experiment
from mixscale.contracts.run_record import RunRecord
from mixscale.fit.inputs.records import gather, runs_from_records
from mixscale.fit.inputs.runs import Runs
from mixscale.shards.sql.index import open_index


def sql(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask the index of the shard set, which sees the run records."""
    with open_index(OUT / "shardset", out=OUT) as connection:
        return connection.execute(query, list(parameters)).fetchall()


@cache
def experiment(name: str) -> Experiment:
    """Read an experiment of the evidence."""
    own = HERE / f"{name}.yaml"
    return read_experiment(own if own.is_file() else EXPERIMENTS / f"{name}.yaml")


@cache
def records(name: str) -> tuple[RunRecord, ...]:
    """The finished runs of an experiment."""
    return gather(Path(str(experiment(name).out)), name).records


def runs(name: str) -> Runs:
    """The runs of an experiment, as laws take them."""
    return runs_from_records(records(name))


def from_curves(name: str, scale: float, points: Sequence[int]) -> Runs:
    """Read a design at several scales from the learning curves of the runs of one scale.

    Runs take their domains evenly, so after a part of its tokens every run of a `ddo` design has
    seen that part of each domain: together they are the design at that part of the scale.

    Args:
        name: The experiment.
        scale: Token budget of the base run.
        points: Which points of the curves, from 0.
    """
    chosen = [record for record in records(name) if record.scale_tokens == scale]
    whole = runs_from_records(chosen)
    parts = []
    for point in points:
        moments = [record.learning_curve[point] for record in chosen]
        part = np.array([m.tokens / r.seen_tokens for m, r in zip(moments, chosen, strict=True)])
        share = (point + 1) / len(chosen[0].learning_curve)
        parts.append(
            replace(
                whole,
                tokens=whole.tokens * part[:, None],
                losses=np.array([[m.losses[d] for d in whole.validation] for m in moments]),
                errors=None,
                scale=np.full(len(chosen), round(share * scale), dtype=np.float64),
                labels=tuple(f"{label}/{share:g}" for label in whole.labels),
            )
        )
    return together(parts)


def together(parts: Sequence[Runs]) -> Runs:
    """Put runs of several scales into one table."""
    first = parts[0]
    return replace(
        first,
        tokens=np.concatenate([part.tokens for part in parts]),
        losses=np.concatenate([part.losses for part in parts]),
        errors=None,
        scale=np.concatenate([part.scale for part in parts]),
        changed=tuple(name for part in parts for name in part.changed),
        labels=tuple(label for part in parts for label in part.labels),
        seeds=tuple(seed for part in parts for seed in part.seeds),
    )
