"""How far one run that went wrong moves the optimum, on published tables.

    python -m benchmarks.robustness [--laws joint,loglinear] [--tables "redpajama"]
        [--choices 20] [--shift 1]

Each run in turn (some of them in large tables) gets all its losses shifted by one nat, upwards. The
distance is the part of the tokens that the optimum then moves, half the sum of the absolute
differences of the shares.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks import published
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE
from mixscale.fit.uncertainty.suspect_runs import without_suspects

GOAL = 0.03


def tables(names: list[str]) -> Iterator[tuple[str, Runs]]:
    """The published tables, those of several scales too."""
    found: dict[str, Callable[[], Runs]] = {
        "regmix, 64 runs": lambda: published.regmix().where(list(range(0, 512, 8))),
        "regmix, 512 runs": published.regmix,
        **published.SINGLE_SCALE,
        "redpajama 305M": lambda: published.redpajama("305M"),
        "github_books_pile 160M": lambda: published.github_books_pile("160M"),
        "slimpajama 122M, 3 scales": lambda: published.slimpajama("122M", parts=(2, 4, 6)),
        "redpajama 70M, 2 scales": lambda: published.redpajama("70M", steps=(10_000, 20_000)),
    }
    for name, read in found.items():
        if not names or any(part in name for part in names):
            yield name, read()


def moved(runs: Runs, name: str, choices: int, shift: float) -> Floats:
    """(2, choices) part of the tokens that the optimum moves when a run is shifted, or left out."""
    law, scale = law_named(name), float(runs.scales[-1])
    if not law.spans_scales:
        runs = runs.at(scale)
    aim = objective_function(Objective(), runs.validation)
    feasible = feasible_set(Constraints(), runs.domains)
    run = runs.planned(scale)

    def apart(others: Runs) -> float:
        return 0.5 * float(np.abs(optimum(others) - clean).sum())

    def optimum(others: Runs) -> Floats:
        kept = without_suspects(others).kept
        return law.fit(kept, aim, UNKNOWN_NOISE).optimum(feasible, run).shares

    clean = optimum(runs)
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(runs))[:choices]
    found = []
    for row in np.sort(chosen):
        losses = runs.losses.copy()
        losses[row] += shift
        without = runs.where(np.arange(len(runs)) != row)
        found.append((apart(replace(runs, losses=losses)), apart(without)))
    return np.array(found).T


def main() -> None:
    """Print a line for each table and law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", default="joint,loglinear,quadratic,linear,bimix")
    parser.add_argument("--tables", default="", help="parts of names, separated by commas")
    parser.add_argument("--choices", type=int, default=20)
    parser.add_argument("--shift", type=float, default=1.0)
    arguments = parser.parse_args()
    names = [name for name in arguments.tables.split(",") if name]
    print("| table | law | shifted: below 0.03 | largest | left out: below 0.03 | largest |")
    print("|---|---|---|---|---|---|")
    for table, runs in tables(names):
        for law in arguments.laws.split(","):
            started = time.perf_counter()
            try:
                found = moved(runs, law, arguments.choices, arguments.shift)
            except UserError as error:
                print(f"{table}, {law}: {str(error)[:80]}", flush=True)
                continue
            cells = [f"{int((e < GOAL).sum())} of {len(e)} | {e.max():.3f}" for e in found]
            spent = time.perf_counter() - started
            print(f"| {table} | {law} | {' | '.join(cells)} |  {spent:.0f} s", flush=True)


if __name__ == "__main__":
    main()
