"""How few proxy tokens find the same mixture?"""

from __future__ import annotations

from functools import cache

import numpy as np

from examples.evidence.mixtures import best, distance, solved
from examples.evidence.records import from_curves, records, runs
from examples.evidence.scale_dependence import LAWS, SCALES, TARGET, full
from examples.evidence.tables import markdown
from mixscale.fit.arrays import Floats
from mixscale.fit.found_mixtures import FoundMixtures
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs

FULL = "full: 3 scales, 3 seeds"


@cache
def parts() -> dict[str, Runs]:
    """Parts of the full design, whose mixture for the target is compared."""
    whole = runs("scales")
    seeds = np.array(whole.seeds)
    roles = np.array([record.role for record in records("scales")])
    increased, reduced = roles != "reduced", roles != "increased"
    return {
        FULL: whole,
        "2 seeds": whole.where(seeds < 3),
        "1 seed (1)": whole.where(seeds == 1),
        "1 seed (2)": whole.where(seeds == 2),
        "1 seed (3)": whole.where(seeds == 3),
        "no reduced runs": whole.where(increased),
        "no increased runs": whole.where(reduced),
        "2 seeds, no reduced runs": whole.where((seeds < 3) & increased),
        "2 seeds, no increased runs": whole.where((seeds < 3) & reduced),
        "the two smaller scales": whole.where(whole.scale != SCALES[-1]),
        "the two smaller scales, 2 seeds": whole.where((whole.scale != SCALES[-1]) & (seeds < 3)),
        "largest scale alone": whole.where(whole.scale == SCALES[-1]),
        "curves of the largest scale": from_curves("scales", SCALES[-1], [0, 1, 4]),
        "curves of the middle scale": from_curves("scales", SCALES[1], [1, 4]),
    }


OTHERS = {
    "half the width, at 0.4M": ("narrow", SCALES[1]),
    "evaluated on 2k tokens a domain, at 0.16M": ("evaluation-2k", SCALES[0]),
    "evaluated on 64k tokens a domain, at 0.16M": ("evaluation-64k", SCALES[0]),
}
"""Other runs, at one scale: the experiment, and the budget at which mixtures are compared."""


def cheaper() -> str:
    """Every recipe's mixture against that of the full design."""
    rows = []
    for name in (*parts(), *OTHERS):
        chosen, budget = _chosen(name)
        cells = [name, len(chosen), f"{_tokens(name, chosen) / 1e6:.1f}"]
        for law in LAWS:
            found = best(answered(name, law), budget).shares
            whole = best(full(law), budget)
            cells += [
                f"{distance(found, whole.shares):.3f}",
                f"{whole.holds(found)} of {len(found)}",
                f"{_regret(found, budget):+.4f}",
            ]
        rows.append(cells)
    columns = ["recipe", "runs", "Mtokens"]
    for law in LAWS:
        columns += [f"{law}: distance", "in intervals", "loss given up"]
    return markdown(columns, rows)


def seeds() -> str:
    """What the advice comes to with one seed, two, and three."""
    rows = []
    for name in ("1 seed (1)", "1 seed (2)", "1 seed (3)", "2 seeds", FULL):
        cells = [name]
        for law in LAWS:
            advice = answered(name, law).advice
            assert advice.interval is not None
            low, high = advice.interval
            verb = "change" if advice.change else "keep"
            cells.append(f"{verb}, {advice.gain:+.4f} ({low:+.4f} to {high:+.4f})")
        rows.append(cells)
    return markdown(["runs", *(f"{law}: advice, gain at 1M" for law in LAWS)], rows)


@cache
def answered(name: str, law: str) -> FoundMixtures:
    """The fit of a recipe."""
    if name == FULL:
        return full(law)
    chosen, budget = _chosen(name)
    return solved(chosen, law, budget)


def _chosen(name: str) -> tuple[Runs, int]:
    """The runs of a recipe, with the token budget at which its mixture is compared."""
    if name in OTHERS:
        experiment, budget = OTHERS[name]
        return runs(experiment), budget
    return parts()[name], TARGET


def _tokens(name: str, chosen: Runs) -> float:
    """Tokens trained on; the points of a curve come from the same run."""
    if name.startswith("curves"):
        return float(chosen.tokens[chosen.scale == chosen.scale.max()].sum())
    return float(chosen.tokens.sum())


def _regret(shares: Floats, budget: int) -> float:
    """Objective above that of the best mixture, as `joint` of all runs predicts it."""
    beyond = full("joint").path.predictor
    assert beyond is not None
    least = best(full("joint"), budget).shares
    one, other = beyond.law.predict_objective(Points(tokens=np.stack([shares, least]) * budget))
    return float(one - other)
