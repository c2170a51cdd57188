"""Whatever two tables hold: a result, or one message."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixscale.contracts.errors import UserError
from mixscale.fit.fit_tables import fit_table_runs
from mixscale.fit.inputs.mixture_table import mixtures_of
from mixscale.fit.inputs.options import TableSettings
from mixscale.fit.inputs.tables import join
from mixscale.fit.laws.registry import LAWS
from mixscale.fit.output.page import render_page
from mixscale.fit.output.terminal import lines, render

SMOOTH = [law for law in LAWS if law != "regmix"]
KINDS = ("plain", "equal losses", "outlier", "nan", "duplicates", "zero column", "one mixture",
         "huge", "tiny differences", "negative")  # fmt: skip


def tables(rng: np.random.Generator, kind: str, domains: int, rows: int, validation: int) -> tuple:
    shares = rng.dirichlet(np.ones(domains), rows)
    losses = 2 + shares @ rng.uniform(0, 1, (domains, validation))
    losses += 0.01 * rng.normal(size=losses.shape)
    if kind == "equal losses":
        losses[:] = 3.0
    elif kind == "outlier":
        losses[0] += 1000
    elif kind == "nan":
        losses[rng.random(losses.shape) < 0.2] = np.nan
    elif kind == "duplicates":
        shares[:] = shares[rng.integers(0, max(1, rows // 3), rows)]
    elif kind == "zero column" and domains > 1:
        shares[:, 0] = 0
        shares /= shares.sum(1, keepdims=True)
    elif kind == "one mixture":
        shares[:] = shares[0]
    elif kind == "huge":
        losses *= 1e6
    elif kind == "tiny differences":
        losses = 3 + 1e-9 * losses
    elif kind == "negative":
        losses -= 10
    mixtures = {f"w_d{i}": column.tolist() for i, column in enumerate(shares.T)}
    return mixtures, {f"loss_d{i}": column.tolist() for i, column in enumerate(losses.T)}


def ddo_tokens(rng: np.random.Generator, domains: int, seeds: int) -> tuple[dict, dict]:
    rows = []
    for scale in (1e6, 4e6):
        base = np.full(domains, scale / domains)
        rows += [base] * seeds
        for i in range(domains):
            rows += [np.where(np.arange(domains) == i, base * f, base) for f in (3, 1 / 3)] * seeds
    tokens = np.array(rows)
    losses = 2 + rng.uniform(-1, 1) * (tokens / 1e6) ** rng.uniform(-0.5, 0.2)
    losses += rng.choice([0, 1e-6, 0.01, 1.0]) * rng.normal(size=losses.shape)
    return (
        {f"tokens_d{i}": column.tolist() for i, column in enumerate(tokens.T)},
        {f"d{i}": column.tolist() for i, column in enumerate(losses.T)},
    )


REFUSALS = (
    r"\d+ runs have a mixture with losses; 3 are the least",
    r"no column of results that holds numbers",
    r"perplexity of a loss of",
    r"no law can be fitted to these runs",
    r"a share is missing or negative",
    r"constraints: no mixture is possible",
    r"validation domains \[.*\] are no training domains",
    r"law ddo: there is no base run",
    r"law ddo: domain \S+ has no run with its tokens increased or reduced",
    r"law ddo: the base run has a loss of (-|0;)",
)
"""The only reasons for which tables like these may be refused."""


def check(mixtures: dict, losses: dict, law: str, asked: TableSettings) -> bool:
    """Fit and show it; warnings of the libraries count as failures. Whether it was answered."""
    found, refused = None, ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read = mixtures_of(mixtures, "m", asked.run_tokens)
            runs, notes = join(read, losses, "l")
            found = fit_table_runs(
                runs, law=law, settings=asked, bootstrap=12, seed=0, name="f", reading=notes,
                content="0" * 16,
            )  # fmt: skip
        except UserError as error:
            refused = str(error)
    if refused:
        assert re.search("|".join(REFUSALS), refused), refused
        return False
    assert found is not None
    record = found.record
    for mixture in record.mixtures:
        for shares in (mixture.proportions, mixture.recommended):
            assert shares is not None
            assert sum(shares.values()) == pytest.approx(1, abs=1e-9)
            assert min(shares.values()) >= 0
    text = record.model_dump_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert render(record).row_count == len(record.domains)
    assert list(lines(record))
    assert record.fit_id in render_page(record)
    return True


@settings(max_examples=40)
@given(
    law=st.sampled_from([*SMOOTH, "auto"]),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    domains=st.integers(1, 6),
    rows=st.integers(1, 14),
    validation=st.integers(1, 4),
    tokens=st.sampled_from([None, 10**9]),
    metric=st.sampled_from(["loss", "perplexity"]),
)
def test_any_swarm_is_answered(
    law: str,
    kind: str,
    seed: int,
    domains: int,
    rows: int,
    validation: int,
    tokens: int | None,
    metric: str,
) -> None:
    mixtures, losses = tables(np.random.default_rng(seed), kind, domains, rows, validation)
    values = {"objective": {"metric": metric}, "run_tokens": tokens}
    if tokens:
        values["targets"] = [10**11]
    answered = check(mixtures, losses, law, TableSettings.model_validate(values))
    usual = kind in ("plain", "outlier", "tiny differences", "duplicates", "zero column")
    if usual and rows >= 3 and law not in ("ddo", "bimix", "auto") and metric == "loss":
        assert answered


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    domains=st.integers(1, 4),
    seeds=st.integers(1, 2),
    law=st.sampled_from(["ddo", "joint", "bimix"]),
    groups=st.booleans(),
)
def test_any_ddo_design_is_answered(
    seed: int, domains: int, seeds: int, law: str, groups: bool
) -> None:
    mixtures, losses = ddo_tokens(np.random.default_rng(seed), domains, seeds)
    constraints: dict = {"floor": 0.02}
    if groups and domains > 2:
        constraints["groups"] = {"two": {"domains": ["d0", "d1"], "ceiling": 0.5}}
        constraints["max_kl"] = 1.0
    asked = TableSettings.model_validate({"constraints": constraints, "targets": [10**8]})
    answered = check(mixtures, losses, law, asked)
    # What ddo measures is changes in parts of the base run's loss.
    of_changes = law != "ddo" or min(min(column) for column in losses.values()) > 0
    # With a single domain there is nothing to change against the others.
    assert answered or groups or not of_changes or domains == 1


def test_a_base_run_without_a_positive_loss() -> None:
    mixtures, losses = ddo_tokens(np.random.default_rng(0), 2, 1)
    base = losses["d0"][0]
    for shift in (base, base + 1):
        moved = {name: [value - shift for value in column] for name, column in losses.items()}
        assert check(mixtures, moved, "joint", TableSettings())
        assert not check(mixtures, moved, "ddo", TableSettings())


def test_a_hundred_domains() -> None:
    mixtures, losses = tables(np.random.default_rng(0), "plain", 100, 60, 2)
    values = {"constraints": {"floor": 0.001}}
    assert check(mixtures, losses, "joint", TableSettings.model_validate(values))
