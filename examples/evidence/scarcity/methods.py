"""The mixtures that each method makes of the same proxies, and the experiment that trains them.

    python -m examples.evidence.scarcity.methods

Writes `final.yaml` for the mean of all losses and `focused.yaml` for the mean of two of them, with
what every law expects of each mixture beside, into `out/scarcity`. Nothing here sees a final run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.experiment import Constraints, Experiment, Objective, read_experiment
from mixscale.contracts.fit_record import Cost, Mixture
from mixscale.contracts.target import Target
from mixscale.fit.inputs.records import gather, runs_from_records
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.output.record import Provenance
from mixscale.fit.pipeline import Request, fit_runs

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[2] / "out" / "scarcity"
TARGET = Target(tokens=2_560_000, parameters=100_096)
"""The size without embeddings, as fits count it where all records have that number."""
FOCUS = ("stackexchange", "wikipedia")
"""The two scarcest domains: what the second question wants a model to be good at."""
SEEDS = {"final": 5, "focused": 3}
"""Of the final runs, by experiment."""
ASKED = {
    "final": ("smallest", "regmix", "ddo", "joint", "joint_blind", "auto"),
    "focused": ("smallest", "ddo", "joint", "auto"),
}
"""Methods, by experiment: the second question is asked in small."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A mixture that a method chose."""

    shares: dict[str, float]
    law: str | None
    """What its gain is predicted by."""
    gain: float | None = None
    """Predicted over the natural mixture at the target, nats a token; None where it says none."""
    interval: tuple[float, float] | None = None
    """90 %."""
    action: str | None = None
    """What the advice was, for the recommendation."""


def proxies(name: str, objective: Objective) -> Runs:
    """The proxies of an experiment, as laws take them."""
    return runs_from_records(gather(OUT, name).records, objective)


@cache
def baseline(name: str) -> dict[str, float]:
    """A mixture of baselines.yaml."""
    design: Any = read_experiment(HERE / "baselines.yaml").design
    mixture = design.mixtures[name]
    return {domain: share / sum(mixture.values()) for domain, share in mixture.items()}


def supply() -> dict[str, int]:
    """Tokens by domain that the final run has."""
    record = gather(OUT, "swarm").records[0]
    return {name: domain.available_tokens for name, domain in record.domains.items()}


def fitted(runs: Runs, law: str, objective: Objective, *, target: bool) -> Mixture:
    """Fit a law to runs; ask for the final run, or for the best mixture where they were measured.

    Gains are over the natural mixture: what a team has that takes its text as it comes.
    """
    request = Request(
        law=law,
        objective=objective,
        constraints=Constraints(floor=0.01, max_epochs=100),
        budgets=(TARGET,) if target else (),
        available=supply() if target else {},
        current=baseline("natural"),
        seed=1,
    )
    cost = Cost(runs=len(runs), tokens=round(runs.tokens.sum()), seconds=0.0)

    def provenance(chosen: str) -> Provenance:
        return Provenance(fit_id=chosen, cost=cost)

    return fit_runs(runs, request, provenance).record.mixtures[-1]


def choices(question: str, objective: Objective) -> dict[str, Choice]:
    """The mixtures of the methods that a question is asked of, by name."""
    swarm = proxies("swarm", objective)
    changes = proxies("changes", objective)
    first, last = float(changes.scales[0]), float(swarm.scales[-1])
    found: dict[str, Callable[[], Choice]] = {
        "smallest": lambda: _best(changes.at(first), "ddo", objective, target=False),
        "regmix": lambda: _best(swarm.of_largest_size.at(last), "regmix", objective, target=False),
        "ddo": lambda: _best(changes, "ddo", objective, target=True),
        "joint": lambda: _best(swarm, "joint", objective, target=True),
        "joint_blind": lambda: _best(_blind(swarm), "joint", objective, target=True),
        "auto": lambda: _recommended(swarm, objective),
    }
    return {name: found[name]() for name in ASKED[question]}


def _blind(runs: Runs) -> Runs:
    """The same runs with no word on how much text there was."""
    return replace(runs, unique_tokens=None)


def _best(runs: Runs, law: str, objective: Objective, *, target: bool) -> Choice:
    mixture = fitted(runs, law, objective, target=target)
    return _choice(mixture, mixture.proportions)


def _recommended(runs: Runs, objective: Objective) -> Choice:
    mixture = fitted(runs, "auto", objective, target=True)
    advice = mixture.decision
    assert advice is not None
    assert mixture.recommended is not None
    return replace(
        _choice(mixture, mixture.recommended),
        gain=advice.gain,
        interval=advice.interval,
        action=advice.action,
    )


def _choice(mixture: Mixture, shares: dict[str, float]) -> Choice:
    gain = next((gain for gain in mixture.gains if gain.over == "current"), None)
    return Choice(
        shares={domain: round(share, 4) for domain, share in shares.items()},
        law=mixture.predicted_by,
        gain=None if gain is None else gain.gain,
        interval=None if gain is None else gain.interval,
    )


def objectives() -> dict[str, Objective]:
    """The two questions, by the name of the experiment that answers them."""
    return {
        "final": Objective(),
        "focused": Objective(weights=dict.fromkeys(FOCUS, 1.0)),
    }


def write(name: str, found: dict[str, Choice]) -> Path:
    """Write the experiment that trains the mixtures, otherwise as baselines.yaml says."""
    path = OUT / f"{name}.yaml"
    whole = OmegaConf.to_container(OmegaConf.load(HERE / "baselines.yaml"))
    assert isinstance(whole, dict)
    whole |= {"name": name, "shardset": "shardset", "out": "."}
    whole["seeds"] = whole["seeds"][: SEEDS[name]]
    whole["design"] = {
        "type": "explicit",
        "scales": ["2560k"],
        "mixtures": {key: _exactly_one(choice.shares) for key, choice in found.items()},
    }
    with atomic_write(path) as stream:
        stream.write(OmegaConf.to_yaml(OmegaConf.create(whole)))
    with atomic_write(OUT / f"{name}-choices.json") as stream:
        json.dump({key: vars(choice) for key, choice in found.items()}, stream, indent=2)
    return path


def _exactly_one(shares: dict[str, float]) -> dict[str, float]:
    """Put what rounding left over to the largest share."""
    largest = max(shares, key=lambda domain: shares[domain])
    rest = round(1 - sum(shares.values()), 4)
    return shares | {largest: round(shares[largest] + rest, 4)}


def read_choices(name: str) -> dict[str, Choice]:
    """What `write` wrote."""
    found = json.loads((OUT / f"{name}-choices.json").read_text())
    return {key: Choice(**choice) for key, choice in found.items()}


def experiment(name: str) -> Experiment:
    """An experiment of final runs."""
    return read_experiment(OUT / f"{name}.yaml")


def main() -> None:
    """Choose and write."""
    for name, objective in objectives().items():
        found = choices(name, objective)
        print(write(name, found))
        for key, choice in found.items():
            shares = "  ".join(f"{d} {share:.3f}" for d, share in choice.shares.items())
            print(f"{key:12} {choice.law:10} gain {choice.gain} {choice.interval} {choice.action}")
            print(f"{'':12} {shares}")


if __name__ == "__main__":
    main()
