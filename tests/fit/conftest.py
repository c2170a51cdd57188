"""Published tables and synthetic sweeps for the tests of `fit/`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixscale.contracts.run_record import DomainLoss, DomainTokens, RunRecord, write_record
from mixscale.contracts.sweep_record import SweepRecord, write_sweep
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.runs import Runs

Truth = Callable[[Floats], Floats]
"""(validation,) losses in nats of (domains,) tokens."""


@pytest.fixture(scope="session")
def tables(shared: Path) -> Path:
    """The folder of published mixture tables."""
    return shared / "data" / "mixtures"


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="session")
def rows() -> Callable[[Path], list[dict[str, str]]]:
    return read_rows


@pytest.fixture(scope="session")
def autoscale_runs(tables: Path) -> Callable[[float], Runs]:
    """The 15 published GPT-2 Large runs; the argument is the multiple of the reduced runs."""

    def make(reduced: float) -> Runs:
        rows = read_rows(tables / "autoscale_gpt2large_1.2B_ppl.csv")
        domains = tuple(key[4:] for key in rows[0] if key.startswith("ppl_") and key != "ppl_mean")
        tokens = np.ones((len(rows), len(domains)))
        for k, row in enumerate(rows):
            if row["domain"] != "none":
                factor = float(row["factor"])
                tokens[k, domains.index(row["domain"])] = reduced if factor < 1 else factor
        perplexity = np.array([[float(row[f"ppl_{name}"]) for name in domains] for row in rows])
        return Runs(
            domains=domains,
            validation=domains,
            tokens=tokens * 1.2e9 / 7,
            losses=np.log(perplexity),
            errors=None,
            scale=np.full(len(rows), 1.2e9),
            changed=tuple("" if row["domain"] == "none" else row["domain"] for row in rows),
            labels=tuple(row["run"] for row in rows),
        )

    return make


@pytest.fixture(scope="session")
def write_ddo_sweep() -> Callable[..., Path]:
    return _write_ddo_sweep


def _write_ddo_sweep(
    folder: Path,
    truth: Truth,
    domains: tuple[str, ...] = ("web", "code", "books"),
    *,
    scales: tuple[int, ...] = (1_000_000, 4_000_000),
    seeds: tuple[int, ...] = (1, 2, 3),
    noise: float = 0.002,
    available: int = 10**9,
    settings: Mapping[str, Any] | None = None,
    skip: Callable[[str], bool] = lambda run_id: False,
) -> Path:
    """Write an experiment with the run records its sweep would leave; return the YAML's path."""
    rng = np.random.default_rng(5)
    run_ids = []
    for scale in scales:
        for role, changed, factor in _ddo_plan(domains):
            for seed in seeds:
                tokens = np.full(len(domains), scale / len(domains))
                if changed is not None:
                    tokens[domains.index(changed)] *= factor
                losses = truth(tokens) + noise * rng.normal(size=len(domains))
                run_id = f"{role}-{changed or 'all'}-{scale}-s{seed}"
                run_ids.append(run_id)
                record = _record(
                    run_id, role, changed, factor, scale, seed, domains, tokens, losses, available
                )
                if not skip(run_id):
                    write_record(folder / "runs" / run_id, record)
    write_sweep(folder, SweepRecord(name="trial", experiment={}, run_ids=tuple(run_ids)))
    lines = [
        "name: trial",
        "shardset: .",
        f"design: {{type: ddo, scales: {list(scales)}}}",
        f"seeds: {list(seeds)}",
    ]
    extra = {"targets": "[16M, 256M]", **(settings or {})}
    lines += [f"{key}: {value}" for key, value in extra.items()]
    path = folder / "experiment.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _ddo_plan(domains: tuple[str, ...]) -> list[tuple[Any, str | None, float]]:
    changes = [
        (role, d, f) for d in domains for role, f in (("increased", 3.0), ("reduced", 1 / 3))
    ]
    return [("base", None, 1.0), *changes]


def _record(
    run_id: str,
    role: Any,
    changed: str | None,
    factor: float,
    scale: int,
    seed: int,
    domains: tuple[str, ...],
    tokens: Floats,
    losses: Floats,
    available: int,
) -> RunRecord:
    total = float(tokens.sum())
    return RunRecord(
        run_id=run_id,
        sweep="trial",
        role=role,
        domain=changed,
        factor=factor,
        scale_tokens=scale,
        seed=seed,
        status="finished",
        parameters=1000,
        token_budget=round(total),
        seen_tokens=round(total),
        domains={
            name: DomainTokens(
                proportion=float(n / total),
                planned_tokens=round(n),
                seen_tokens=round(n),
                unique_tokens=round(n),
                available_tokens=available,
                epochs=float(n / available),
            )
            for name, n in zip(domains, tokens, strict=True)
        },
        evaluation={
            name: DomainLoss(
                loss_nats=float(loss),
                standard_error=0.003,
                tokens=65536,
                perplexity=float(np.exp(loss)),
                bits_per_byte=float(loss) / 3,
            )
            for name, loss in zip(domains, losses, strict=True)
        },
        seconds=10.0,
        train_seconds=9.0,
        tokens_per_second=total / 9,
        device="cpu",
        precision="fp32",
        shardset_sha256="0",
        versions={},
        started="2026-01-01T00:00:00Z",
    )
