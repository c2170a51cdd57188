"""The final runs, as SQL over the index of the shard set gives them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from examples.evidence.scarcity.methods import (
    FOCUS,
    OUT,
    baseline,
    experiment,
    read_choices,
    supply,
)
from mixscale.contracts.sweep_record import read_sweep
from mixscale.fit.arrays import Floats
from mixscale.shards.sql.index import open_index

BASELINES = {
    "uniform": "uniform",
    "natural": "natural, by supply",
    "root": "square root of supply",
}
METHODS = {
    "smallest": "`ddo`, optimum of the smallest budget unchanged",
    "regmix": "`regmix`, largest budget",
    "ddo": "`ddo`, projected (AutoScale)",
    "joint_blind": "`joint`, projected, repeats not seen",
    "joint": "`joint`, projected",
    "auto": "recommended (`auto`)",
}
MEANING = BASELINES | METHODS

LOSSES = """
SELECT mixture, list(loss ORDER BY seed) FROM (
    SELECT mixture, seed, avg(loss_nats) AS loss
    FROM runs JOIN run_domains USING (run_id)
    WHERE run_id IN (SELECT unnest(?)) AND seed IN (SELECT unnest(?)) AND status = 'finished'
        AND list_contains(?, run_domains.domain)
    GROUP BY ALL)
GROUP BY mixture"""
CURVE = """
SELECT tokens, avg(loss_nats)
FROM runs JOIN learning_curves USING (run_id)
WHERE sweep = 'baselines' AND mixture = ? AND status = 'finished'
    AND list_contains(?, learning_curves.domain)
GROUP BY tokens ORDER BY tokens"""


def sql(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask the index of the shard set, which sees the run records."""
    with open_index(OUT / "shardset", out=OUT) as connection:
        return connection.execute(query, list(parameters)).fetchall()


@cache
def final_losses(question: str) -> dict[str, Floats]:
    """By mixture, (seeds,) the mean of the losses that a question is about.

    Of the runs that the experiments plan: records of a mixture that a method once chose stay.
    """
    seeds = list(experiment(question).seeds)
    planned = [run for name in ("baselines", question) for run in read_sweep(OUT, name).run_ids]
    found = sql(LOSSES, planned, seeds, domains_of(question))
    return {name: np.array(losses) for name, losses in found}


@cache
def learning_curve(name: str, question: str) -> tuple[Floats, Floats]:
    """(points,) tokens and the mean loss there of the runs of a baseline."""
    tokens, losses = zip(*sql(CURVE, name, domains_of(question)), strict=True)
    return np.array(tokens, dtype=np.float64), np.array(losses)


def domains_of(question: str) -> list[str]:
    """The domains whose losses a question is about."""
    return list(FOCUS) if question == "focused" else list(supply())


def all_shares(question: str) -> dict[str, dict[str, float]]:
    """By mixture, what the final runs of a question were trained on."""
    chosen = {name: choice.shares for name, choice in read_choices(question).items()}
    return {name: baseline(name) for name in BASELINES} | chosen
