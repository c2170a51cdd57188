"""Published mixture tables as runs, for benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.inputs.tables import read_table

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "mixtures"

_TOKENS_A_STEP = 1_048_576
_SIZES = {"122M": 122_000_000, "310M": 310_000_000, "680M": 680_000_000}


def swarm(
    domains: Sequence[str], validation: Sequence[str], tokens: Floats, losses: Floats,
    scale: Floats, labels: Sequence[str],
) -> Runs:  # fmt: skip
    """Runs of mixtures without a base run."""
    return Runs(
        domains=tuple(domains),
        validation=tuple(validation),
        tokens=tokens,
        losses=losses,
        errors=None,
        scale=scale,
        changed=(MIXTURE,) * len(tokens),
        labels=tuple(labels),
    )


def regmix(folder: Path = FOLDER, part: str = "train") -> Runs:
    """RegMix's runs of 1M-parameter models; `part` is train or test."""
    mixtures = read_table(folder / f"regmix_{part}_1m_mixture.csv")
    losses = read_table(folder / f"regmix_{part}_1m_loss.csv")
    assert mixtures["index"] == losses["index"]
    shares, domains = _columns(mixtures, "w_")
    values, validation = _columns(losses, "loss_")
    labels = [f"{part}{i}" for i in losses["index"]]
    shares = shares / shares.sum(1, keepdims=True)
    return swarm(domains, validation, shares, values, np.ones(len(shares)), labels)


def redpajama(size: str, folder: Path = FOLDER, steps: Sequence[int] = (30000,)) -> Runs:
    """Data Mixing Laws' runs of a model size (70M, 160M, 305M) at some steps."""
    table = read_table(folder / f"mixinglaws_redpajama_{size}.csv")
    return _long(table, steps)


def github_books_pile(size: str, folder: Path = FOLDER, steps: Sequence[int] = (30000,)) -> Runs:
    """Data Mixing Laws' runs of three domains at some steps."""
    return _long(read_table(folder / f"mixinglaws_3mix_{size}.csv"), steps)


def slimpajama(size: str, folder: Path = FOLDER, parts: Sequence[int] = (10,)) -> Runs:
    """Runs of a model size (122M, 310M, 680M) after some tenths of their tokens."""
    table = read_table(folder / "slimpajama_sizes_train.csv")
    here = np.array(table["model_size"]) == _SIZES[size]
    index, tokens = np.array(table["run_index"])[here], np.array(table["tokens"], float)[here]
    shares, domains = _columns(table, "w_")
    losses, validation = _columns(table, "loss_")
    shares, losses = shares[here], losses[here]
    rows, scale = [], []
    for part in parts:
        wanted = tokens.max() * part / 10
        for run in dict.fromkeys(index.tolist()):
            mine = np.flatnonzero(index == run)
            nearest = mine[np.argmin(np.abs(tokens[mine] - wanted))]
            if abs(tokens[nearest] / wanted - 1) < 0.02 and np.isfinite(losses[nearest]).all():
                rows.append(nearest)
                scale.append(wanted)
    labels = [" ".join(f"{w:.4f}" for w in shares[row]) for row in rows]
    totals = np.array(scale)
    return swarm(domains, validation, shares[rows] * totals[:, None], losses[rows], totals, labels)


def olmix_dclm(folder: Path = FOLDER) -> Runs:
    """Olmix's runs of 24 web topics, with the mean bits per byte of the tasks as one result."""
    return _olmix(folder / "olmix_dclm_ratios.csv", folder / "olmix_dclm_metrics.csv")


def olmix_full(folder: Path = FOLDER) -> Runs:
    """Olmix's runs of 64 domains, with the mean bits per byte of the tasks as one result."""
    return _olmix(folder / "olmix_full_ratios_train.csv", folder / "olmix_full_metrics_train.csv")


SINGLE_SCALE: dict[str, Callable[[], Runs]] = {
    "redpajama 70M": lambda: redpajama("70M"),
    "redpajama 160M": lambda: redpajama("160M"),
    "slimpajama 122M": lambda: slimpajama("122M"),
    "slimpajama 310M": lambda: slimpajama("310M"),
    "slimpajama 680M": lambda: slimpajama("680M"),
    "olmix dclm": olmix_dclm,
    "olmix full": olmix_full,
}
"""Tables whose runs of one scale are split at random."""


def _olmix(ratios: Path, metrics: Path) -> Runs:
    mixtures, results = read_table(ratios), read_table(metrics)
    beside = {"", "run", "name", "index"}
    domains = [name for name in mixtures if name not in beside]
    tasks = [name for name in results if name not in beside and "basic_skills:rc" not in name]
    shares = np.array([mixtures[name] for name in domains], float).T
    mean = np.array([results[name] for name in tasks], float).mean(0)
    used = shares.max(0) > 0
    return swarm(
        [name for name, some in zip(domains, used, strict=True) if some],
        ("tasks",),
        shares[:, used],
        mean[:, None],
        np.ones(len(mean)),
        [str(run) for run in results["run"]],
    )


def _long(table: dict[str, list], steps: Sequence[int]) -> Runs:
    """Runs of a long table: one row for each run, step and validation domain."""
    shares, domains = _columns(table, "w_")
    validation = sorted(set(table["valid_domain"]))
    cells = zip(table["run_index"], table["step"], table["valid_domain"], strict=True)
    losses = dict(zip(cells, table["loss"], strict=True))
    first = {run: k for k, run in reversed(list(enumerate(table["run_index"])))}
    rows = [
        (run, step)
        for step in steps
        for run in first
        if all((run, step, name) in losses for name in validation)
    ]
    mixtures = np.array([shares[first[run]] / shares[first[run]].sum() for run, _ in rows])
    scale = np.array([step * float(_TOKENS_A_STEP) for _, step in rows])
    values = np.array([[losses[run, step, name] for name in validation] for run, step in rows])
    labels = [str(run) for run, _ in rows]
    return swarm(domains, validation, mixtures * scale[:, None], values, scale, labels)


def _columns(table: dict[str, list], prefix: str) -> tuple[Floats, list[str]]:
    """(rows, columns) numbers of the columns with a prefix, with their names without it."""
    names = [name for name in table if name.startswith(prefix)]
    values = [[np.nan if x is None else float(x) for x in table[name]] for name in names]
    return np.array(values).T, [name[len(prefix) :] for name in names]
