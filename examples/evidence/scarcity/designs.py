"""Which part of the proxies finds the same mixture for less."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from examples.evidence.scarcity.calibration import predictor
from examples.evidence.scarcity.methods import OUT, baseline, fitted, proxies
from examples.evidence.tables import markdown
from mixscale.contracts.experiment import Objective
from mixscale.contracts.run_record import RunRecord
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.records import gather, runs_from_records

LAW = "joint"
Part = Callable[[RunRecord], bool]


def designs() -> str:
    """By part of the proxies: what it costs, and how far its mixture is from that of all."""
    records = gather(OUT, "swarm").records
    found = {name: [r for r in records if chosen(r)] for name, chosen in _parts(records).items()}
    shares = {name: _optimum(part) for name, part in found.items()}
    whole = next(iter(shares.values()))
    expected = _expected_losses([*shares.values(), _natural(whole)])
    rows = []
    for (name, part), own, loss in zip(found.items(), shares.values(), expected, strict=False):
        moved = sum(abs(own[domain] - whole[domain]) for domain in whole) / 2
        rows.append(
            [
                name,
                len(part),
                f"{sum(r.seen_tokens for r in part) / 1e6:.1f}M",
                f"{sum(r.seconds for r in part) / 3600:.2f}",
                f"{moved:.3f}",
                f"{loss - expected[0]:+.4f}",
                f"{expected[-1] - loss:.3f}",
            ]
        )
    columns = [
        "proxies", "runs", "tokens", "hours on one core", "other tokens than with all",
        "expected loss more", "expected gain over natural",
    ]  # fmt: skip
    return markdown(columns, rows)


def _parts(records: tuple[RunRecord, ...]) -> dict[str, Part]:
    small = min(r.parameters or 0 for r in records)
    names = sorted({str(r.mixture) for r in records})

    def first(count: int) -> Part:
        return lambda r: str(r.mixture) in names[:count]

    return {
        "all": lambda r: True,
        "the larger size": lambda r: r.parameters != small,
        "the smaller size": lambda r: r.parameters == small,
        "160k and 320k tokens": lambda r: _budget(r) < 600_000,
        "160k tokens": lambda r: _budget(r) < 300_000,
        "the larger size at 640k": lambda r: _budget(r) > 600_000,
        "21 of 28 mixtures": first(21),
        "14 of 28 mixtures": first(14),
        "14 of 28, the larger size at 640k": lambda r: first(14)(r) and _budget(r) > 600_000,
    }


def _budget(record: RunRecord) -> int:
    return record.scale_tokens or 0


def _optimum(part: list[RunRecord]) -> dict[str, float]:
    runs = runs_from_records(part, Objective())
    return fitted(runs, LAW, Objective(), target=True).proportions


def _natural(like: dict[str, float]) -> dict[str, float]:
    return {domain: baseline("natural")[domain] for domain in like}


def _expected_losses(mixtures: list[dict[str, float]]) -> Floats:
    """(mixtures,) objective of the final run as all proxies let expect it."""
    says = predictor("final", LAW)
    domains = proxies("swarm", Objective()).domains
    return says.predict(np.array([[mixture[d] for d in domains] for mixture in mixtures]))
