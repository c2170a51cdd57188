"""How far pairing lowers the variance of a loss difference between two mixtures.

    python -m benchmarks.pairing EXPERIMENT_YAML [--change arxiv=3 arxiv=1/3 c4=3] [--workers 2]

Trains the base of a `ddo` design and some of its changes with each seed of the experiment, then
the base alone with a fresh order of samples for each initialisation, and with a fresh
initialisation for each order. So base and change can be compared when they share both, one, or
none. Runs that have a record are not trained again; every number comes from the records by SQL.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment, read_experiment
from mixscale.shards.sql.index import open_index
from mixscale.train.output.sweep import sweep_summary
from mixscale.train.sweep.runs import PlannedRun, runs_by_id
from mixscale.train.sweep.sweep import run_missing

Floats = NDArray[np.float64]
Change = tuple[str, float]
"""A domain with the factor of its tokens."""

BASE: Change = ("", 1.0)
CHANGES = ("arxiv=3", "arxiv=1/3", "c4=3")
"""What is tried unless something else is asked for."""
FRESH = 1000
"""Added to a seed, it gives one that nothing else uses."""
REDRAWS = 2000

LOSSES = r"""
SELECT runs.seed, CAST(regexp_extract(sweep, '-order(\d+)$', 1) AS INTEGER) AS order_seed,
       coalesce(runs.domain, '') AS changed, factor,
       array_agg(losses.domain ORDER BY losses.domain),
       array_agg(loss_nats ORDER BY losses.domain),
       array_agg(coalesce(losses.standard_error, 0) ORDER BY losses.domain)
FROM runs JOIN run_domains AS losses USING (run_id)
WHERE status = 'finished' AND list_contains(?, run_id)
GROUP BY ALL"""


class Losses:
    """What the records say: losses by initialisation seed, order seed and change."""

    def __init__(self, experiment: Experiment, run_ids: Sequence[str]) -> None:
        self.seeds = experiment.seeds
        self.values: dict[tuple[int, int, Change], Floats] = {}
        self.errors: dict[tuple[int, int, Change], Floats] = {}
        with open_index(experiment.shardset, out=experiment.out) as connection:
            rows = connection.execute(LOSSES, [list(run_ids)]).fetchall()
        self.domains: list[str] = rows[0][4]
        """The columns of all arrays."""
        for seed, order, domain, factor, _, losses, errors in rows:
            key = (seed, order, (domain, round(factor, 6)))
            self.values[key] = np.array(losses)
            self.errors[key] = np.array(errors)

    def of(self, change: Change, *, fresh_seed: bool = False, fresh_order: bool = False) -> Floats:
        """Stack the losses of all seeds: (seeds, domains)."""
        return np.stack(
            [
                self.values[i + FRESH * fresh_seed, i + FRESH * fresh_order, change]
                for i in self.seeds
            ]
        )

    def sampling_variance(self, change: Change) -> Floats:
        """Squared standard errors of the validation samples: (seeds, domains)."""
        return np.stack([self.errors[i, i, change] for i in self.seeds]) ** 2


def needed_runs(
    experiment: Experiment, changes: Sequence[Change]
) -> Iterator[dict[str, PlannedRun]]:
    """Yield the runs of the study, grouped by the order of their samples."""
    for seed in experiment.seeds:
        yield _chosen(experiment, seed, (seed,), [BASE, *changes])
        yield _chosen(experiment, seed, (seed + FRESH,), [BASE])
        yield _chosen(experiment, seed + FRESH, (seed,), [BASE])


def _chosen(
    experiment: Experiment, order: int, seeds: tuple[int, ...], changes: Sequence[Change]
) -> dict[str, PlannedRun]:
    update = {"name": f"{experiment.name}-order{order}", "order_seed": order, "seeds": seeds}
    runs = runs_by_id(experiment.model_copy(update=update))
    chosen = {}
    for change in changes:
        found = [name for name, run in runs.items() if _change_of(run) == change]
        if not found:
            raise UserError(f"--change {change[0]}={change[1]:g}: the design has no such run")
        chosen |= {name: runs[name] for name in found}
    return chosen


def _change_of(run: PlannedRun) -> Change:
    return run.point.domain or "", round(run.point.factor, 6)


def _with_mean(values: Floats) -> Floats:
    """Append the mean over the domains as one more column."""
    return np.column_stack([values, values.mean(axis=1)])


def _variance(values: Floats, rows: NDArray[np.int64]) -> Floats:
    return np.var(_with_mean(values)[rows], axis=0, ddof=1)


def _sharing(**fresh: bool) -> Callable[[Losses, Change, NDArray[np.int64]], Floats]:
    def estimate(losses: Losses, change: Change, rows: NDArray[np.int64]) -> Floats:
        return _variance(losses.of(change) - losses.of(BASE, **fresh), rows)

    return estimate


def _unpaired(losses: Losses, change: Change, rows: NDArray[np.int64]) -> Floats:
    """Independent runs: the variances of the two add up."""
    return _variance(losses.of(change), rows) + _variance(losses.of(BASE), rows)


def _unpaired_samples(losses: Losses, change: Change, rows: NDArray[np.int64]) -> Floats:
    """Other validation samples too: their squared standard errors come on top."""
    extra = losses.sampling_variance(change) + losses.sampling_variance(BASE)
    domains = extra[rows].mean(axis=0)
    return _unpaired(losses, change, rows) + np.append(domains, domains.mean() / len(domains))


ESTIMATES = {
    "initialisation, order, validation samples": _sharing(),
    "initialisation, validation samples": _sharing(fresh_order=True),
    "order, validation samples": _sharing(fresh_seed=True),
    "validation samples": _unpaired,
    "nothing": _unpaired_samples,
}
"""How to estimate a difference's variance, by what the two runs share."""


def pooled(losses: Losses, changes: Sequence[Change], rows: NDArray[np.int64]) -> dict[str, Floats]:
    """Average the variances over the changes.

    Returns:
        By what is shared, (2,): of the mean loss, and of one domain's loss, squared nats.
    """
    result = {}
    for kind, estimate in ESTIMATES.items():
        variances = np.mean([estimate(losses, change, rows) for change in changes], axis=0)
        result[kind] = np.array([variances[-1], variances[:-1].mean()])
    return result


def table(losses: Losses, changes: Sequence[Change], rng: np.random.Generator) -> Table:
    """Draw the noise of a difference by what the two runs share."""
    count = len(losses.seeds)
    found = pooled(losses, changes, np.arange(count))
    redraws = [pooled(losses, changes, rng.integers(0, count, count)) for _ in range(REDRAWS)]
    drawn = Table(title="standard deviation of a loss difference, nats")
    for column in ("both runs share", "mean loss", "variance", "one domain's loss", "variance"):
        drawn.add_column(column, justify="left" if column == "both runs share" else "right")
    whole = found["validation samples"]
    for kind, variances in found.items():
        cells = []
        for part in range(2):
            ratios = [draw[kind][part] / draw["validation samples"][part] for draw in redraws]
            low, high = np.nanquantile(ratios, [0.05, 0.95])
            ratio = f"{variances[part] / whole[part]:.2f} ({low:.2f} to {high:.2f})"
            cells += [f"{variances[part] ** 0.5:.4f}", ratio]
        drawn.add_row(kind, *cells)
    return drawn


def effects(losses: Losses, changes: Sequence[Change]) -> Table:
    """Draw what each change does to the loss, with the noise of one comparison."""
    drawn = Table(title="change of the loss, nats: mean over seeds, standard deviation of one")
    for column in ("change", "mean loss, paired", "unpaired", "own domain, paired", "unpaired"):
        drawn.add_column(column, justify="left" if column == "change" else "right")
    rows = np.arange(len(losses.seeds))
    for change in changes:
        mean = _with_mean(losses.of(change) - losses.of(BASE)).mean(axis=0)
        paired = _sharing()(losses, change, rows) ** 0.5
        unpaired = _unpaired(losses, change, rows) ** 0.5
        cells = []
        for column in (-1, losses.domains.index(change[0])):
            cells += [f"{mean[column]:+.4f} ± {paired[column]:.4f}", f"± {unpaired[column]:.4f}"]
        drawn.add_row(_name(change), *cells)
    return drawn


def components(losses: Losses) -> Table:
    """Draw how much the loss of one and the same mixture varies, by what is drawn anew."""
    drawn = Table(title="standard deviation of the base run's loss, nats")
    for column in ("drawn anew", "mean loss", "one domain's loss"):
        drawn.add_column(column, justify="left" if column == "drawn anew" else "right")
    base = losses.of(BASE)
    # Half the mean square of a difference of two draws is the variance of one.
    order = _with_mean(losses.of(BASE, fresh_order=True) - base) ** 2 / 2
    seed = _with_mean(losses.of(BASE, fresh_seed=True) - base) ** 2 / 2
    sampling = losses.sampling_variance(BASE)
    variances = {
        "initialisation": seed.mean(axis=0),
        "order of samples": order.mean(axis=0),
        "both": np.var(_with_mean(base), axis=0, ddof=1),
        "validation samples": np.append(sampling.mean(axis=0), sampling.mean() / base.shape[1]),
    }
    for name, values in variances.items():
        drawn.add_row(name, f"{values[-1] ** 0.5:.4f}", f"{values[:-1].mean() ** 0.5:.4f}")
    return drawn


def _train(experiment: Experiment, changes: Sequence[Change], workers: int | None) -> list[str]:
    """Train what is missing; returns the run ids of the study."""
    runs: dict[str, PlannedRun] = {}
    for group in needed_runs(experiment, changes):
        runs |= group
    out = Path(str(experiment.out))
    result = run_missing(runs, out, workers=workers, retries=1, report=_say)
    if not result.is_complete:
        raise UserError(sweep_summary(result))
    return list(runs)


def _say(line: str) -> None:
    print(line, flush=True)


def parse_change(text: str) -> Change:
    """Read a change such as `arxiv=1/3`."""
    domain, _, factor = text.partition("=")
    return domain, round(float(Fraction(factor)), 6)


def _name(change: Change) -> str:
    factor = Fraction(change[1]).limit_denominator(100)
    return f"{change[0]} x {factor}"


def main() -> None:
    """Train what is missing of the study, then compare."""
    parser = argparse.ArgumentParser(description="Measure what pairing is worth.")
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--change", nargs="+", default=CHANGES)
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()
    changes = [parse_change(text) for text in arguments.change]
    experiment = read_experiment(arguments.experiment)
    losses = Losses(experiment, _train(experiment, changes, arguments.workers))
    console = Console(width=None if Console().is_terminal else 120)
    console.print(effects(losses, changes))
    console.print(table(losses, changes, np.random.default_rng(0)))
    console.print(components(losses))


if __name__ == "__main__":
    main()
