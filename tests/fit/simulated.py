"""Simulated tables of mixtures with losses, as CSV files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mixscale.fit.arrays import Floats

DOMAINS = ("wikipedia", "web", "code", "books")


def losses_of(shares: Floats, tokens: Floats, noise: float = 0.002, seed: int = 1) -> Floats:
    """(runs, domains) losses: each domain's falls with a power of its own tokens."""
    worth = np.linspace(0.4, 0.8, shares.shape[1])
    own = shares * tokens[:, None] / 1e9 + 0.03
    return 1.8 + worth * own**-0.3 + noise * np.random.default_rng(seed).normal(size=shares.shape)


def losses_of_three(tokens: Floats) -> Floats:
    """(3,) losses that the tokens of three domains lower by very different amounts."""
    millions = tokens / 1e6
    return 2.5 + np.array([4.0, 1.0, 0.3]) * (millions + 0.05 * millions.sum()) ** -0.25


def mixtures(runs: int, domains: int = len(DOMAINS), seed: int = 0) -> Floats:
    """(runs, domains) random shares."""
    return np.random.default_rng(seed).dirichlet(np.ones(domains), runs)


def write_tables(
    folder: Path,
    shares: Floats,
    tokens: Floats | None,
    losses: Floats,
    domains: tuple[str, ...] = DOMAINS,
    names: list[str] | None = None,
) -> tuple[Path, Path]:
    """Write both tables; return their paths."""
    names = names or [f"run-{i}" for i in range(len(shares))]
    folder.mkdir(parents=True, exist_ok=True)
    left, right = folder / "mixtures.csv", folder / "losses.csv"
    sizes = [[]] * len(shares) if tokens is None else [[int(count)] for count in tokens]
    head = ["tokens"] if tokens is not None else []
    with left.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["run_id", *(f"w_{d}" for d in domains), *head])
        writer.writerows(
            [n, *map(repr, row.tolist()), *size]
            for n, row, size in zip(names, shares, sizes, strict=True)
        )
    with right.open("w", newline="") as stream:
        writer = csv.writer(stream)
        validation = domains[: losses.shape[1]]
        writer.writerow(["run_id", *(f"loss_{d}" for d in validation), *head])
        writer.writerows(
            [n, *map(repr, row.tolist()), *size]
            for n, row, size in zip(names, losses, sizes, strict=True)
        )
    return left, right
