"""A measured mixture keeps in a larger run what it differed from the law by, if that lasts."""

from __future__ import annotations

import numpy as np

import mixscale as ms
from mixscale.fit.arrays import Floats

NAMES = ("web", "code", "books")
SIZES = (70e6, 160e6, 400e6)
TOKENS = 1e10


def truth(shares: Floats, size: float) -> Floats:
    """(runs, domains) losses of a smooth law."""
    own = shares * TOKENS / 1e9 + 0.1
    return 1.5 + 0.4 * (size / 1e8) ** -0.3 + np.array([0.9, 0.7, 0.8]) * own**-0.3


def tables(lasting: float, apart: float, seed: int) -> tuple[list[dict[str, object]], Floats]:
    """Runs of two sizes and the losses of the same mixtures at a third.

    Args:
        lasting: Deviation of what each mixture differs from the law by at every size.
        apart: Of what it differs by at one size alone.
    """
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(3) * 2, 24)
    effect = rng.normal(0, lasting, shares.shape) if lasting else np.zeros(shares.shape)
    losses = [truth(shares, size) + effect + rng.normal(0, apart, shares.shape) for size in SIZES]
    rows: list[dict[str, object]] = [
        {f"w_{n}": s for n, s in zip(NAMES, share, strict=True)}
        | {"tokens": TOKENS, "parameters": size}
        | {f"loss_{n}": v for n, v in zip(NAMES, values, strict=True)}
        for size, of_size in zip(SIZES[:2], losses[:2], strict=True)
        for share, values in zip(shares, of_size, strict=True)
    ]
    return rows, np.column_stack([shares, losses[2]])


def predicted(rows: list[dict[str, object]], shares: Floats, size: float) -> Floats:
    fit = ms.fit_tables(rows, law="joint", bootstrap=0)
    asked = [{f"w_{n}": s for n, s in zip(NAMES, share, strict=True)} for share in shares]
    answers = fit.predict(asked, tokens="10B", parameters=int(size))
    return np.array([[row[f"loss_{n}"] for n in NAMES] for row in answers.rows()])


def test_what_lasts_is_carried_to_the_larger_model() -> None:
    rows, larger = tables(lasting=0.03, apart=0.005, seed=1)
    shares, losses = larger[:, :3], larger[:, 3:]
    found = predicted(rows, shares, SIZES[2])
    # A mixture that was never run has no effect: next to a measured one the law alone answers.
    beside = np.abs(shares + np.array([0.002, -0.002, 0.0]))
    lawful = predicted(rows, beside / beside.sum(1, keepdims=True), SIZES[2])
    missed, of_law = (np.abs((v - losses) - (v - losses).mean(0)).mean() for v in (found, lawful))
    assert missed < 0.5 * of_law


def test_noise_is_not_carried() -> None:
    left = []
    for seed in range(4):
        rows, larger = tables(lasting=0.0, apart=0.03, seed=seed)
        shares = larger[:, :3]
        beside = np.abs(shares + np.array([0.0002, -0.0002, 0.0]))
        carried = predicted(rows, shares, SIZES[2]) - predicted(rows, beside, SIZES[2])
        left.append(np.abs(carried).mean())
    # A third of the noise of a run at most, on average: chance alone correlates 24 mixtures by 0.2.
    assert np.mean(left) < 0.01


def test_smaller_runs_are_left_to_the_law() -> None:
    rows, larger = tables(lasting=0.03, apart=0.002, seed=2)
    shares = larger[:, :3]
    beside = np.abs(shares + np.array([0.0002, -0.0002, 0.0]))
    small = predicted(rows, shares, SIZES[0]) - predicted(rows, beside, SIZES[0])
    assert np.abs(small).max() < 0.002
