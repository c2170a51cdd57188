"""What fewer seeds than an experiment has would have told of it.

python -m benchmarks.signal examples/evidence/scales.yaml
python -m benchmarks.signal --synthetic 30
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.recovery import TOTAL, unlike_domains
from mixscale.contracts.config import format_tokens
from mixscale.contracts.experiment import Objective, read_experiment
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.objective import ObjectiveFunction, objective_function
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.records import gather, runs_from_records
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import FittedLaw
from mixscale.fit.laws.registry import law_named, reference_law
from mixscale.fit.uncertainty.noise import Noise
from mixscale.fit.uncertainty.residuals import comparison_noise
from mixscale.fit.uncertainty.signal import signal

EDGES = (0, 1, 2, 3, 100)
NO_NOISE = 1e-7


def noise_by_seed(runs: Runs, aim: ObjectiveFunction) -> Iterator[str]:
    """State the noise of all runs, then what the runs of each seed alone make of it."""
    yield f"all seeds: {_noise(comparison_noise(runs, aim, reference_law()), runs.scales)}"
    several = [runs.scales[i:j] for i, j in itertools.combinations(range(len(runs.scales) + 1), 2)]
    for seed, scales in itertools.product(sorted(set(runs.seeds)), several):
        part = runs.where(_of(runs, (seed,)) & np.isin(runs.scale, scales))
        yield f"seed {seed}: {_noise(comparison_noise(part, aim, reference_law()), scales)}"


def _noise(noise: Noise, scales: Floats) -> str:
    own = ", ".join(f"{format_tokens(s)} {noise.at(s).objective:.4f}" for s in scales.tolist())
    return f"{noise.source}, together {noise.objective:.4f}, {own}"


def halves(runs: Runs, aim: ObjectiveFunction, noise: Noise, feasible: Feasible) -> Iterator[str]:
    """Predictor the optimum of some seeds by the law of the others, at one scale."""
    seeds, scale = sorted(set(runs.seeds)), float(runs.scale[0])
    uniform = np.full(len(runs.domains), 1 / len(runs.domains))
    for count in range(1, len(seeds) + 1):
        for chosen in itertools.combinations(seeds, count):
            here, rest = runs.where(_of(runs, chosen)), runs.where(~_of(runs, chosen))
            found = signal(here, aim, noise)
            assert found is not None
            text = (
                f"{format_tokens(scale)} seeds {chosen}: change {found.change or 0:.4f}, between "
                f"{found.between:.4f}, noise {found.noise:.4f}, ratio {found.ratio:.2f}"
            )
            if not len(rest):
                yield text
                continue
            fresh = law_named("ddo").fit(rest, aim, noise)
            mixture = _optimum(law_named("ddo").fit(here, aim, noise), feasible, scale)
            best = _optimum(fresh, feasible, scale)
            values = fresh.predict_objective(
                Points(tokens=np.stack([uniform, mixture, best]) * scale)
            )
            yield (
                f"{text}; the others say: gain {values[0] - values[1]:.4f} of "
                f"{values[0] - values[2]:.4f}, distance {np.abs(mixture - best).sum() / 2:.2f}"
            )


def _of(runs: Runs, seeds: Iterable[int]) -> np.ndarray:
    return np.isin(runs.seeds, list(seeds))


def _optimum(law: FittedLaw, feasible: Feasible, scale: float) -> Floats:
    return law.optimum(feasible, PlannedRun(token_budget=scale)).shares


def synthetic(count: int) -> Iterator[str]:
    """True gain over uniform of `ddo`'s optimum from one seed, by the ratio that it had."""
    spreads, noises = (0.05, 0.1, 0.2, 0.3), (0.0025, 0.005, 0.01, 0.015, 0.04)
    cases = itertools.product(spreads, noises, range(count))
    rows = np.array([_synthetic(*case) for case in cases])
    for low, high in itertools.pairwise(EDGES):
        part = rows[(rows[:, 0] >= low) & (rows[:, 0] < high)]
        yield (
            f"ratio {low} to {high}: {len(part)} experiments, gain {part[:, 1].mean():.4f} of "
            f"{part[:, 2].mean():.4f}, a loss in {(part[:, 1] < -1e-4).mean():.0%}"
        )


def _synthetic(spread: float, noise: float, number: int) -> tuple[float, float, float]:
    """Ratio, true gain of the optimum and of that without noise."""
    runs, feasible, true = unlike_domains(np.random.default_rng([number, 7]), spread, noise)
    aim = objective_function(Objective(), runs.validation)
    found = signal(runs, aim, _known(noise))
    assert found is not None
    exact = replace(runs, losses=true(runs.tokens)[:, None])
    mixtures = [
        _optimum(law_named("ddo").fit(part, aim, _known(deviation)), feasible, TOTAL)
        for part, deviation in ((runs, noise), (exact, NO_NOISE))
    ]
    values = true(np.stack([np.full(len(runs.domains), 1 / len(runs.domains)), *mixtures]) * TOTAL)
    return found.ratio, float(values[0] - values[1]), float(values[0] - values[2])


def _known(deviation: float) -> Noise:
    return Noise(losses=np.array([deviation]), objective=deviation, source="seeds")


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path, nargs="?", help="a DDO design with some seeds")
    parser.add_argument("--synthetic", type=int, default=0, help="trials of each kind")
    arguments = parser.parse_args()
    if arguments.experiment is not None:
        experiment = read_experiment(arguments.experiment)
        records = gather(Path(str(experiment.out)), experiment.name).records
        runs = runs_from_records(records)
        aim = objective_function(experiment.objective, runs.validation)
        print(*noise_by_seed(runs, aim), sep="\n")
        noise = comparison_noise(runs, aim, reference_law())
        for scale in runs.scales.tolist():
            feasible = feasible_set(experiment.constraints, runs.domains, token_budget=scale)
            print(*halves(runs.at(scale), aim, noise.at(scale), feasible), sep="\n")
    if arguments.synthetic:
        print(*synthetic(arguments.synthetic), sep="\n")


if __name__ == "__main__":
    main()
