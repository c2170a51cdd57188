"""What the mixtures are worth at a budget that no proxy run had."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from examples.evidence.pages import differences
from examples.evidence.records import experiment, runs, sql
from examples.evidence.scale_dependence import SCALES, TARGET, full
from examples.evidence.seeds import interval
from examples.evidence.tables import markdown, percent, signed
from mixscale.contracts.experiment import ExplicitDesign, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.points import Points
from mixscale.fit.laws.base import FittedLaw
from mixscale.fit.mixing_law import choose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINAL = """
SELECT mixture, list(loss ORDER BY seed) FROM (
    SELECT mixture, seed, avg(loss_nats) AS loss
    FROM runs JOIN run_domains USING (run_id)
    WHERE sweep = 'payoff' AND status = 'finished' GROUP BY ALL)
GROUP BY mixture"""
CURVES = """
SELECT mixture, seed, list(tokens ORDER BY tokens), list(loss ORDER BY tokens) FROM (
    SELECT mixture, seed, learning_curves.tokens, avg(loss_nats) AS loss
    FROM runs JOIN learning_curves USING (run_id)
    WHERE sweep = 'payoff' AND status = 'finished' GROUP BY ALL)
GROUP BY mixture, seed"""
UNIFORM_BY_BUDGET = """
SELECT tokens, avg(loss) FROM (
    SELECT coalesce(scale_tokens, token_budget) AS tokens, run_id, avg(loss_nats) AS loss
    FROM runs JOIN run_domains USING (run_id)
    WHERE status = 'finished' AND (sweep = 'scales' AND role = 'base'
                                   OR sweep = 'payoff' AND mixture = 'uniform')
    GROUP BY ALL)
GROUP BY tokens ORDER BY tokens"""

BASELINE = "uniform"
MEANINGS = {
    "uniform": "uniform",
    "natural": "natural, by size",
    "smallest-scale": "optimum of the smallest scale (`ddo`)",
    "projection": "`ddo`, projected, all scales alike",
    "weighted": "`ddo`, projected",
    "joint": "`joint`",
    "regmix": "`regmix`",
    "loglinear": "`loglinear`",
}


@cache
def final_losses() -> dict[str, Floats]:
    """(seeds,) mean validation losses by mixture."""
    return {name: np.array(losses) for name, losses in sql(FINAL)}


def payoff() -> str:
    """Final losses, differences to uniform, tokens saved."""
    slope = uniform_slope()
    own = tokens_saved_on_the_way()
    rows = []
    for name in MEANINGS:
        losses = final_losses()[name]
        cells = [MEANINGS[name], f"{losses.mean():.4f}"]
        if name == BASELINE:
            rows.append([*cells, "", "", ""])
            continue
        mean, low, high = interval(losses - final_losses()[BASELINE])
        # What uniform would have needed for this loss, by its own power law of loss in tokens.
        saved = [1 - np.exp(difference / slope) for difference in (mean, high, low)]
        rows.append([*cells, signed(mean, low, high), percent(*saved), percent(*own[name])])
    columns = [
        "mixture at 4M tokens", "mean loss", "against uniform", "tokens saved, %",
        "tokens saved on the way, %",
    ]  # fmt: skip
    return markdown(columns, rows)


def predictions() -> str:
    """Gains over uniform as every law sees them, beside those measured."""
    design = experiment("payoff").design
    assert isinstance(design, ExplicitDesign)
    names = [name for name in MEANINGS if name != BASELINE]
    domains = runs("scales").domains
    shares = np.array([[design.mixtures[n][d] for d in domains] for n in (BASELINE, *names)])
    laws = _predicting()
    predicted = [
        law.predict_objective(Points(tokens=shares * float(budget)))
        for law, budget in laws.values()
    ]
    rows = []
    for i, name in enumerate(names, start=1):
        gains = [f"{values[0] - values[i]:+.4f}" for values in predicted]
        measured = interval(final_losses()[BASELINE] - final_losses()[name])
        rows.append([MEANINGS[name], *gains, signed(*measured)])
    return markdown(["gain over uniform", *laws, "measured at 4M"], rows)


def _predicting() -> dict[str, tuple[FittedLaw, int]]:
    """By heading, a law with the token budget that it predicts for."""
    beyond = full("joint").path.predictor
    assert beyond is not None
    found: dict[str, tuple[FittedLaw, int]] = {
        "`joint` at 4M": (beyond.law, TARGET),
        "`ddo` at 1M": (full("ddo").scales[-1].law, SCALES[-1]),
    }
    for law in ("regmix", "loglinear"):
        fitted = choose(runs("swarm"), law, Objective()).fitted
        found[f"`{law}` at 0.4M"] = (fitted, SCALES[1])
    return found


@cache
def uniform_slope() -> float:
    """Fall of uniform's loss per e-fold of tokens at the target: -dL / d ln N of E + A N^-b."""
    budgets, losses = map(np.array, zip(*sql(UNIFORM_BY_BUDGET), strict=True))
    x = budgets.astype(np.float64) / TARGET

    def law(n: Floats, floor: float, size: float, exponent: float) -> Floats:
        return floor + size * n**-exponent

    (_, size, exponent), _ = optimize.curve_fit(
        law, x, losses, p0=(losses[-1] - 1, 1.0, 0.3), bounds=([0, 0, 0.01], [10, 20, 2])
    )
    return float(size * exponent)


def tokens_saved_on_the_way() -> dict[str, tuple[float, float, float]]:
    """Part of its run after which a mixture's own curve is below uniform's final loss, less 1.

    The curve is that of one run, whose learning rate has not yet decayed: a lower bound.
    """
    reached: dict[str, list[float]] = {}
    goals: dict[int, float] = {}
    curves = sorted(sql(CURVES), key=lambda row: row[0] != BASELINE)
    for mixture, seed, tokens, losses in curves:
        if mixture == BASELINE:
            goals[seed] = losses[-1]
            continue
        reached.setdefault(mixture, []).append(_saved(tokens, losses, goals[seed]))
    return {name: interval(np.array(parts)) for name, parts in reached.items()}


def _saved(tokens: list[int], losses: list[float], goal: float) -> float:
    """Part of the tokens left when the curve falls to the goal; 0 if it never does."""
    below = [i for i, loss in enumerate(losses) if loss <= goal]
    if not below:
        return 0.0
    i = below[0]
    before, after = losses[i - 1], losses[i]
    part = (before - goal) / (before - after)
    return 1 - (tokens[i - 1] + part * (tokens[i] - tokens[i - 1])) / tokens[-1]


def figure() -> Figure:
    """Differences to uniform, seed by seed."""
    losses = final_losses()
    found = {
        meaning: losses[name] - losses[BASELINE]
        for name, meaning in MEANINGS.items()
        if name != BASELINE
    }
    return differences(found, "uniform", size=(8, 3.6), lift=0.18)
