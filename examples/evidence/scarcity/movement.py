"""Whether what is best moves with the budget and the size of the proxies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from examples.evidence.scarcity.final_runs import BASELINES, sql
from examples.evidence.scarcity.methods import fitted, proxies, supply
from examples.evidence.seeds import interval
from examples.evidence.tables import markdown, percent, signed
from mixscale.contracts.config import format_tokens
from mixscale.contracts.experiment import Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.runs import Runs

BUDGETS = "SELECT DISTINCT scale_tokens FROM runs WHERE sweep = ? AND status = 'finished'"
AT = """
SELECT mixture, list(loss ORDER BY seed) FROM (
    SELECT mixture, seed, avg(loss_nats) AS loss
    FROM runs JOIN run_domains USING (run_id)
    WHERE sweep = ? AND scale_tokens = ? AND status = 'finished'
        AND list_contains(?, run_domains.domain)
    GROUP BY ALL)
GROUP BY mixture"""
BEST = 7
"""How many of the mixtures count as the best of a scale: a quarter of them."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The runs of one size and budget, (mixtures,) in the order of their names."""

    size: float
    budget: float
    losses: Floats
    """(mixtures,) objective."""
    shares: Floats
    """(mixtures, domains)."""


def optima() -> str:
    """The best mixture that `ddo` finds at each budget, and where it is projected to."""
    changes = proxies("changes", Objective())
    columns = {
        f"{format_tokens(round(float(scale)))} tokens": fitted(
            changes.at(float(scale)), "ddo", Objective(), target=False
        )
        for scale in changes.scales
    } | {"final run, projected": fitted(changes, "ddo", Objective(), target=True)}
    rows = []
    for domain in changes.domains:
        cells = []
        for mixture in columns.values():
            assert mixture.intervals is not None
            low, high = mixture.intervals[domain]
            cells.append(percent(mixture.proportions[domain], low, high))
        rows.append([domain, *cells])
    return markdown(["share, %", *columns], rows)


def ranks() -> str:
    """How the mixtures of smaller runs rank at the largest, and what its best ones look like."""
    groups = _groups(proxies("swarm", Objective()))
    largest = groups[-1]
    rows = []
    for group in groups:
        best = np.argsort(group.losses)[:BEST]
        rows.append(
            [
                f"{group.size / 1000:.0f}k, {format_tokens(round(group.budget))} tokens",
                f"{group.losses.std(ddof=1):.3f}",
                f"{stats.spearmanr(group.losses, largest.losses)[0]:.2f}",
                f"{largest.losses.mean() - largest.losses[best].mean():+.3f}",
                *(f"{100 * share:.0f}" for share in group.shares[best].mean(0)),
            ]
        )
    domains = proxies("swarm", Objective()).domains
    columns = [
        "parameters without embeddings, budget", "deviation over mixtures",
        "rank correlation with the last row",
        f"gain there of the best {BEST} here", *(f"{domain}, %" for domain in domains),
    ]  # fmt: skip
    return markdown(columns, rows)


def _groups(runs: Runs) -> list[Group]:
    assert runs.parameters is not None
    found = []
    order = np.argsort(np.array(runs.labels), kind="stable")
    for size in sorted(set(runs.parameters.tolist())):
        for budget in sorted(set(runs.scale.tolist())):
            rows = [i for i in order if runs.parameters[i] == size and runs.scale[i] == budget]
            if rows:
                found.append(
                    Group(
                        size=size,
                        budget=budget,
                        losses=runs.losses[rows].mean(1),
                        shares=runs.shares[rows],
                    )
                )
    return found


def repetition() -> str:
    """The baselines in smaller runs that repeat as the final run will, that do not, and there."""
    domains = list(supply())
    rows = []
    for sweep, meaning in (
        ("repeated", "repeating as the final run"),
        ("unrepeated", "all text"),
        ("baselines", "the final run"),
    ):
        for budget in sorted({scale for (scale,) in sql(BUDGETS, sweep)}):
            losses = {name: np.array(values) for name, values in sql(AT, sweep, budget, domains)}
            better = losses["uniform"] - losses["root"]
            rows.append(
                [
                    f"{format_tokens(budget)}, {meaning}",
                    *(f"{losses[name].mean():.3f}" for name in BASELINES),
                    signed(*interval(better)),
                ]
            )
    columns = ["tokens", *BASELINES.values(), "uniform less square root"]
    return markdown(columns, rows)
