"""Where the noise of a comparison comes from, and which recipe has least of it."""

from __future__ import annotations

import numpy as np
from rich.table import Table

from benchmarks.pairing import CHANGES, Losses, components, needed_runs, parse_change, table
from examples.evidence.experiments import recipe_names
from examples.evidence.records import experiment, runs, sql
from examples.evidence.scale_dependence import SCALES
from examples.evidence.seeds import changes
from examples.evidence.tables import markdown
from mixscale.contracts.experiment import Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.uncertainty.noise import estimate_noise
from mixscale.fit.uncertainty.signal import signal

COLUMNS = (
    "recipe", "parameters", "seconds", "loss", "between seeds", "change", "between domains",
    "noise of a difference", "between domains / noise",
)  # fmt: skip
COSTS = """
SELECT any_value(parameters), avg(seconds) FROM runs
WHERE sweep = ? AND scale_tokens = ? AND role = 'base' AND list_contains(?, seed)"""


def recipes() -> str:
    """Signal and noise of every recipe and scale, as `mixscale fit` states them."""
    chosen: list[tuple[str, str, int, tuple[int, ...]]]
    chosen = [(f"as chosen, {scale / 1e6:g}M", "scales", scale, (1, 2)) for scale in SCALES]
    for name in recipe_names():
        scale = SCALES[0] if name.startswith("evaluation") else SCALES[1]
        chosen.append((f"{name}, {scale / 1e6:g}M", name, scale, (1, 2)))
    return markdown(COLUMNS, [_row(*each) for each in chosen])


def _row(title: str, sweep: str, scale: int, seeds: tuple[int, ...]) -> list[str]:
    of_scale = _increased(runs(sweep).at(scale), seeds)
    mean = objective_function(Objective(), of_scale.validation)
    found = signal(of_scale, mean, estimate_noise(of_scale, mean))
    assert found is not None
    assert found.change is not None
    noise = found.noise * found.runs_each**0.5
    base = of_scale.where([name == BASE for name in of_scale.changed]).losses.mean(1)
    ((parameters, seconds),) = sql(COSTS, sweep, scale, list(seeds))
    return [
        title, f"{parameters / 1e3:.0f}k", f"{seconds:.0f}", f"{base.mean():.3f}",
        f"{base.std(ddof=1):.3f}", f"{found.change:.3f}", f"{found.between:.3f}", f"{noise:.3f}",
        f"{found.between / noise:.1f}",
    ]  # fmt: skip


def _increased(whole: Runs, seeds: tuple[int, ...]) -> Runs:
    """The base and increased runs of some seeds: what every recipe has."""
    return whole.where(
        [
            seed in seeds and not label.startswith("reduced")
            for seed, label in zip(whole.seeds, whole.labels, strict=True)
        ]
    )


def variances() -> str:
    """What the base run's loss varies by, and a difference, by what is drawn anew."""
    study = experiment("noise")
    tried = [parse_change(text) for text in CHANGES]
    names = [name for group in needed_runs(study, tried) for name in group]
    losses = Losses(study, names)
    drawn = [components(losses), table(losses, tried, np.random.default_rng(0))]
    return "\n\n".join(_markdown(each) for each in drawn)


def evaluation() -> str:
    """The noise that the sample of validation text adds to a change."""
    most = _changes("evaluation-64k")
    rows = []
    for size, sweep in (("2k", "evaluation-2k"), ("8k", "scales")):
        # The runs are the same to the bit; what differs is the validation sample alone.
        apart = (_changes(sweep) - most).std()
        rows.append([size, f"{apart:.4f}", f"{most.std(axis=1, ddof=1).mean():.4f}"])
    columns = ["validation tokens a domain", "against 64k tokens", "between two seeds"]
    return markdown(columns, rows)


def _changes(sweep: str) -> Floats:
    """(changes, seeds) of the mean loss against the base run of the same seed."""
    found = changes(_increased(runs(sweep).at(SCALES[0]), (1, 2)))
    return np.stack([found[label] for label in sorted(found)])


def cost() -> str:
    """Runs, tokens and time of everything."""
    rows = sql(
        """
        SELECT CASE WHEN sweep LIKE 'noise%' THEN 'noise' ELSE sweep END AS part, count(*),
               sum(seen_tokens) / 1e6, sum(seconds) / 3600, sum(train_seconds) / sum(seconds),
               sum(seen_tokens) / sum(train_seconds),
               1000 * sum(train_seconds) / sum(ceil(seen_tokens / 1024))
        FROM runs WHERE status = 'finished' GROUP BY part ORDER BY min(started)"""
    )
    total = ["all", *(f"{sum(row[i] for row in rows):.{places}f}" for i, places in _SUMMED)]
    lines = [
        [n, c, f"{t:.1f}", f"{h:.2f}", f"{100 * share:.0f} %", f"{speed:.0f}", f"{step:.1f}"]
        for n, c, t, h, share, speed, step in rows
    ]
    columns = [
        "sweep", "runs", "Mtokens", "core hours", "training", "tokens/s a core",
        "ms for 1,024 tokens",
    ]  # fmt: skip
    return markdown(columns, [*lines, [*total, "", "", ""]])


_SUMMED = ((1, 0), (2, 1), (3, 2))


def _markdown(drawn: Table) -> str:
    columns = [list(column.cells) for column in drawn.columns]
    heads = [str(column.header) for column in drawn.columns]
    return f"{drawn.title}:\n\n" + markdown(heads, zip(*columns, strict=True))
