"""The objective's name, unit and direction in words."""

from __future__ import annotations

from mixscale.contracts.fit_record import FitRecord
from mixscale.contracts.metrics import metric_named
from mixscale.pages.rounding import Interval, number, span

_BARE = ("", "fraction")


def name_of(record: FitRecord) -> str:
    """What the objective is called."""
    if record.aim is None or not record.aim.unit:
        return record.objective.metric
    return record.aim.title.partition(",")[0]


def unit_of(record: FitRecord) -> str:
    """What a difference of the objective is counted in; empty for a bare number."""
    unit = metric_named(record.objective.metric).unit if record.aim is None else record.aim.unit
    if unit in _BARE or unit == name_of(record):
        return ""
    return unit.partition(" per token")[0]


def more_is_better(record: FitRecord) -> bool:
    """Which way the objective goes."""
    return record.aim is not None and record.aim.higher_is_better


def amount(
    record: FitRecord, value: float, interval: Interval | None = None, digits: int = 3
) -> str:
    """Write a difference of the objective, as in `0.021 nats`."""
    return f"{number(value, interval, digits=digits)} {unit_of(record)}".rstrip()


def amount_with_interval(record: FitRecord, value: float, interval: Interval | None) -> str:
    """Write it with its interval, as in `0.021 nats (90 %: 0.012 to 0.030)`."""
    text = amount(record, value, interval)
    return text if interval is None else f"{text} (90 %: {span(interval, value=value)})"
