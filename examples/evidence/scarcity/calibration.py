"""Whether chances of a loss, as fits state them, come true in the final runs.

For every ordered pair of mixtures of final runs the first is taken for the one in use and the
second for the one that is proposed. What a law that was fitted to proxies says of the exchange
(its gain, the chance that it is a loss) stands beside what the final runs of both measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, permutations

import numpy as np

from examples.evidence.scarcity.final_runs import all_shares, final_losses
from examples.evidence.scarcity.methods import TARGET, objectives, proxies, supply
from examples.evidence.tables import markdown
from mixscale.contracts.experiment import DEFAULT_RISK, Constraints
from mixscale.fit.arrays import Floats
from mixscale.fit.find_mixtures import find_mixtures, planned_run
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.mixture_order import in_order
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.mixing_law import choose
from mixscale.fit.uncertainty.gain import Predictor, gain_over

LAWS = ("joint", "separable")
"""Those with one law for all scales, and so a chance of a loss at the final run."""
BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)
Part = Callable[[Runs], Runs]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A mixture that is proposed instead of another one."""

    harm: float
    """Stated chance of a loss."""
    gain: float
    """Stated, nats a token."""
    covered: bool
    """Whether the stated 90 % interval holds the measured gain."""
    measured: float
    """Mean over seeds, nats a token."""

    @property
    def change(self) -> bool:
        """What a fit would advise, but for its second law and the bound on what it may propose."""
        return self.gain > 0 and self.harm < DEFAULT_RISK


def _parts() -> dict[str, Part]:
    """Designs of proxies: all that were run, and what smaller experiments would have had."""
    return {
        "all": lambda runs: runs,
        "smaller budgets": lambda runs: runs.where(runs.scale < runs.scale.max()),
        "larger size": lambda runs: runs.of_largest_size,
        "every second mixture": _every_second,
    }


def _every_second(runs: Runs) -> Runs:
    # Labels are a mixture's name with its budget.
    names = [label.split("@")[0] for label in runs.labels]
    return runs.where(np.isin(names, sorted(set(names))[::2]))


@cache
def cases() -> tuple[Case, ...]:
    """All pairs, under each law and design, for both questions."""
    found: list[Case] = []
    for question, objective in objectives().items():
        domains = proxies("swarm", objective).domains
        for part in _parts():
            for law in LAWS:
                found += _pairs(predictor(question, law, part), domains, question)
    return tuple(found)


@cache
def predictor(question: str, law: str, part: str = "all") -> Predictor:
    """What a law that is fitted to a part of the proxies says of the final run."""
    objective = objectives()[question]
    runs = in_order(_parts()[part](proxies("swarm", objective)))
    chosen = choose(runs, law, objective)
    asked = Question(
        objective=chosen.objective,
        constraints=Constraints(floor=0.01, max_epochs=100),
        budgets=(TARGET,),
        available=supply(),
    )
    path = find_mixtures(chosen.runs, chosen.law, chosen.noise, asked).path
    found = path.predictor_for(planned_run(chosen.runs, TARGET.tokens, supply(), TARGET.parameters))
    assert found is not None
    return found


def _pairs(says: Predictor, domains: tuple[str, ...], question: str) -> Iterator[Case]:
    losses, shares = final_losses(question), all_shares(question)
    named: dict[str, Floats] = {
        name: np.array([shares[name][domain] for domain in domains]) for name in losses
    }
    for before, after in permutations(named, 2):
        gain = gain_over(says, named[after], before, named[before])
        assert gain.harm is not None
        assert gain.interval is not None
        measured = float((losses[before] - losses[after]).mean())
        yield Case(
            harm=gain.harm,
            gain=gain.gain,
            covered=bool(gain.interval[0] <= measured <= gain.interval[1]),
            measured=measured,
        )


def chances() -> str:
    """By stated chance of a loss: how often it was one."""
    rows = []
    for low, high in pairwise(BINS):
        here = [case for case in cases() if low <= case.harm < high or case.harm == high == 1]
        if here:
            rows.append(
                [
                    f"{100 * low:.0f} to {100 * high:.0f}",
                    len(here),
                    f"{100 * np.mean([case.harm for case in here]):.0f}",
                    f"{100 * np.mean([case.measured < 0 for case in here]):.0f}",
                    f"{np.mean([case.gain for case in here]):+.3f}",
                    f"{np.mean([case.measured for case in here]):+.3f}",
                    f"{100 * np.mean([case.covered for case in here]):.0f}",
                ]
            )
    columns = [
        "stated chance of a loss, %", "pairs", "mean, %", "were losses, %", "stated gain",
        "measured gain", "90 % intervals that hold it, %",
    ]  # fmt: skip
    return markdown(columns, rows)


def decisions() -> str:
    """Of "change" and of "keep": how often each was right, and what was lost or left."""
    rows = []
    for word, change in (("change", True), ("keep", False)):
        here = [case for case in cases() if case.change == change]
        better = [case.measured for case in here if case.measured > 0]
        worse = [-case.measured for case in here if case.measured <= 0]
        rows.append(
            [
                word,
                len(here),
                f"{100 * len(better) / len(here):.0f}",
                f"{np.mean(better):.3f}",
                f"{100 * len(worse) / len(here):.0f}",
                f"{np.mean(worse):.3f}",
            ]
        )
    columns = [
        "advice", "pairs", "proposed mixture was better, %", "by, on average",
        "was worse, %", "by, on average",
    ]  # fmt: skip
    return markdown(columns, rows)
