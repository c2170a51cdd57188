"""Does the best mixture move with the token budget?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from examples.evidence import seeds
from examples.evidence.mixtures import Best, best, distance, solved
from examples.evidence.records import runs
from examples.evidence.tables import markdown, percent
from mixscale.fit.arrays import Floats
from mixscale.fit.found_mixtures import FoundMixtures
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.uncertainty.intervals import interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALES = (160_000, 400_000, 1_000_000)
TARGET = 4_000_000
LAWS = ("ddo", "joint")


@cache
def full(law: str) -> FoundMixtures:
    """The fit to all runs of the full design."""
    return solved(runs("scales"), law, TARGET)


@cache
def optima_by_seed() -> Floats:
    """(seeds, scales, domains) what `ddo` finds from the runs of one seed and scale."""
    whole = runs("scales")
    of_run = np.array(whole.seeds)
    return np.stack(
        [
            np.stack([a.shares for a in solved(whole.where(of_run == s), "ddo", draws=0).answers])
            for s in np.unique(of_run)
        ]
    )


def optima() -> str:
    """Best shares by scale."""
    budgets = (*SCALES, TARGET)
    rows = []
    for law in LAWS:
        answers = [best(full(law), budget) for budget in budgets]
        for i, domain in enumerate(runs("scales").domains):
            rows.append([f"{law}: {domain}", *(_cell(answer, i) for answer in answers)])
    head = [f"{budget / 1e6:g}M" for budget in budgets]
    return markdown(["share, %", *head[:-1], f"{head[-1]}, projected"], rows)


def movement() -> str:
    """What each share does from the smallest to the largest scale."""
    by_seed = optima_by_seed()
    joint = full("joint").scales
    assert joint[-1].draw_shares is not None
    assert joint[0].draw_shares is not None
    low, high = interval(joint[-1].draw_shares - joint[0].draw_shares)
    rows = []
    for i, domain in enumerate(runs("scales").domains):
        moved = joint[-1].shares[i] - joint[0].shares[i]
        by_seeds = seeds.interval(by_seed[:, -1, i] - by_seed[:, 0, i])
        rows.append([domain, _points(*by_seeds), _points(moved, low[i], high[i])])
    return markdown(["change of the share, percentage points", "ddo, by seed", "joint"], rows)


def distances() -> str:
    """How far optima lie apart, of other seeds and of other scales."""
    by_seed = optima_by_seed()
    count, scales, _ = by_seed.shape
    apart: dict[str, list[float]] = {}
    for one, two in itertools.combinations(itertools.product(range(scales), range(count)), 2):
        if one[1] == two[1]:
            continue
        kind = f"both at {SCALES[one[0]] / 1e6:g}M" if one[0] == two[0] else "of two scales"
        pair = by_seed[one[::-1]], by_seed[two[::-1]]
        apart.setdefault(kind, []).append(distance(*pair))
    rows = [[kind, len(found), f"{np.mean(found):.3f}"] for kind, found in apart.items()]
    table = markdown(["optima of two seeds", "pairs", "mean distance"], rows)
    return f"{table}\n\nPermutation test of equal optima at all scales: p = {permutation():.2f}."


def permutation() -> float:
    """Probability of scales as different as these if scale meant nothing.

    The F ratio of distances between and within groups of Anderson, Austral Ecology 26 (2001),
    over all ways to deal the optima out to scales.
    """
    optima = optima_by_seed()
    count, scales, domains = optima.shape
    flat = optima.reshape(count * scales, domains)
    labels = np.tile(np.arange(scales), count)
    dealt = list(_deals(count, scales))
    values = np.array([_between(flat, np.array(deal)) for deal in dealt])
    return float((values >= _between(flat, labels) - 1e-12).mean())


def middle() -> str:
    """The paper's own check: the middle scale's optimum predicted from the outer two."""
    outer, inner = _split()
    found = solved(inner, "ddo").answers[0]
    assert found.interval is not None
    measured = Best(shares=found.shares, interval=found.interval)
    predicted = solved(outer, "ddo", SCALES[1], draws=0)
    mixtures = {
        "projected from the outer scales": predicted.answers[-1].shares,
        "optimum of the smallest scale": predicted.scales[0].shares,
        "optimum of the largest scale": predicted.scales[-1].shares,
        "uniform": np.full(len(found.shares), 1 / len(found.shares)),
    }
    rows = [
        [name, f"{distance(shares, found.shares):.3f}", f"{measured.holds(shares)} of 7"]
        for name, shares in mixtures.items()
    ]
    return markdown(["mixture", "distance from the one found at 0.4M", "in its intervals"], rows)


def middle_losses() -> str:
    """Changes of the mean loss at the middle scale, predicted by `joint` from the outer two."""
    outer, inner = _split()
    beyond = solved(outer, "joint", draws=0).path.predictor
    assert beyond is not None
    base = inner.tokens[inner.changed.index(BASE)]
    rows, missed, expected = [], [], []
    for label, measured in seeds.changes(inner).items():
        tokens = np.stack([inner.tokens[inner.labels.index(label)], base])
        one, other = beyond.law.predict_objective(Points(tokens=tokens))
        predicted, error = float(one - other), float(stats.sem(measured))
        missed.append(predicted - measured.mean())
        expected.append(error)
        rows.append(
            [_change(label), f"{predicted:+.3f}", f"{measured.mean():+.3f}", f"{error:.3f}"]
        )
    rows.append(["root mean square", f"{_rms(missed):.3f} apart", "", f"{_rms(expected):.3f}"])
    columns = ["change at 0.4M", "predicted", "measured", "standard error of it"]
    return markdown(columns, rows)


def _change(label: str) -> str:
    """Name a change as in a table; a label reads `increased c4 3@400000`."""
    role, domain, _ = label.split()
    return f"{domain} {'x' if role == 'increased' else '/'} 3"


def _split() -> tuple[Runs, Runs]:
    """The runs of the outer scales, and of the middle one."""
    whole = runs("scales")
    return whole.where(whole.scale != SCALES[1]), whole.where(whole.scale == SCALES[1])


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def figure() -> Figure:
    """Shares by token budget under both laws."""
    import matplotlib.pyplot as plt

    domains = runs("scales").domains
    drawn, panels = plt.subplots(2, 4, figsize=(11, 5.2), sharex=True, sharey=True)
    budgets = (*SCALES, TARGET)
    for law, colour, shift in (("ddo", "#0072b2", 0.97), ("joint", "#d55e00", 1.03)):
        answers = [best(full(law), budget) for budget in budgets]
        for i, (panel, domain) in enumerate(zip(panels.flat, domains, strict=False)):
            share = np.array([100 * answer.shares[i] for answer in answers])
            bounds = np.array([100 * answer.interval[:, i] for answer in answers]).T
            bars = np.abs(bounds - share)
            panel.errorbar(
                np.array(budgets) * shift, share, bars, fmt="o-", ms=4, color=colour, label=law
            )
            panel.set_title(domain, fontsize=10)
    for panel in panels.flat[: len(domains)]:
        panel.axhline(100 / len(domains), color="#bbbbbb", lw=0.8)
        panel.set_xscale("log")
        panel.set_xticks(budgets, [f"{budget / 1e6:g}M" for budget in budgets])
        panel.minorticks_off()
        panel.set_ylim(0, None)
    panels.flat[-1].axis("off")
    panels.flat[0].legend(frameon=False)
    drawn.supxlabel("token budget (the last is projected)", fontsize=10)
    drawn.supylabel("best share, %, 90 % intervals", fontsize=10)
    drawn.tight_layout()
    return drawn


def _cell(answer: Best, i: int) -> str:
    low, high = answer.interval[:, i]
    return percent(answer.shares[i], low, high)


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _between(optima: Floats, labels: np.ndarray) -> float:
    """Squared distances between groups against those within."""
    within = sum(
        ((optima[labels == label] - optima[labels == label].mean(0)) ** 2).sum()
        for label in np.unique(labels)
    )
    total = ((optima - optima.mean(0)) ** 2).sum()
    return float((total - within) / within)


def _deals(count: int, scales: int) -> Iterator[tuple[int, ...]]:
    """Yield every way to deal optima out to scales, seed by seed: each seed has each scale once."""
    orders = list(itertools.permutations(range(scales)))
    for choice in itertools.product(orders, repeat=count - 1):
        yield tuple(range(scales)) + tuple(itertools.chain.from_iterable(choice))
