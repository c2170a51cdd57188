"""What a sweep will take, for a terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table

from mixscale.contracts.config import format_tokens
from mixscale.train.run.memory import MemoryNeed, format_bytes, parts
from mixscale.train.sweep.calibration import Calibration
from mixscale.train.sweep.plan import Plan

_MOST_COLUMNS = 10
"""Domains that fit into the table of runs."""


def plan_table(result: Plan) -> Group:
    """Draw the plan: what each run takes, what each domain gives, and how often each repeats."""
    return Group(_runs_table(result), _domains_table(result), _epochs_table(result))


def _runs_table(result: Plan) -> Table:
    domains = list(result.available_tokens)
    columns = domains if len(domains) <= _MOST_COLUMNS else []
    table = Table(title=f"experiment {result.experiment}: {len(result.rows)} runs, tokens")
    has_sizes = any(row.model for row in result.rows)
    for column in ("run", "changed", "scale", "seed", *(["model"] if has_sizes else [])):
        table.add_column(column)
    for name in (*columns, "all", "most epochs"):
        table.add_column(name, justify="right")
    table.add_column("state")
    for row in result.rows:
        scarce = max(row.epochs_by_domain, key=lambda domain: row.epochs_by_domain[domain])
        changed = f"{row.domain} x {row.factor:.3g}" if row.domain else ""
        table.add_row(
            row.role,
            changed,
            format_tokens(row.scale_tokens),
            str(row.seed),
            *([str(row.model)] if has_sizes else []),
            *(format_tokens(row.tokens_by_domain[domain]) for domain in columns),
            format_tokens(row.tokens),
            f"{row.epochs_by_domain[scarce]:.2f} {scarce}",
            "done" if row.is_done else "to do",
        )
    return table


def _domains_table(result: Plan) -> Table:
    table = Table(title="what the runs take of each domain, tokens")
    table.add_column("domain")
    for column in ("available", "all runs", "most in a run", "epochs there", "allowed"):
        table.add_column(column, justify="right")
    for domain, available in result.available_tokens.items():
        largest = max(result.rows, key=lambda row: row.tokens_by_domain[domain])
        most, allowed = largest.tokens_by_domain[domain], result.max_proxy_epochs
        table.add_row(
            domain,
            format_tokens(available),
            format_tokens(sum(row.tokens_by_domain[domain] for row in result.rows)),
            format_tokens(most),
            f"{largest.epochs_by_domain[domain]:.2f}",
            "as the target" if allowed is None else f"{allowed:g}",
        )
    return table


def _epochs_table(result: Plan) -> Table:
    """Compare how often proxies and the target read each domain, with the proxies' mixtures."""
    table = Table(title="epochs of each domain, from the least to the most of the mixtures")
    table.add_column("domain")
    scales = sorted({row.scale_tokens for row in result.rows})
    for scale in scales:
        table.add_column(f"seen at {format_tokens(scale)}", justify="right")
        table.add_column("epochs", justify="right")
    table.add_column(f"target {format_tokens(result.target_tokens)}", justify="right")
    for domain in result.available_tokens:
        cells = []
        for scale in scales:
            rows = [row for row in result.rows if row.scale_tokens == scale]
            cells.append(format_tokens(rows[0].pool_tokens[domain]))
            cells.append(_range([row.epochs_by_domain[domain] for row in rows]))
        there = _range([row.target_epochs_by_domain[domain] for row in result.rows])
        table.add_row(domain, *cells, there)
    return table


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def plan_summary(result: Plan) -> str:
    """Describe in a few lines what is left to do, how long it takes and what it costs."""
    lines = [f"{len(result.missing)} runs to do, {format_tokens(result.missing_tokens)} tokens"]
    if result.tasks:
        asked = ", ".join(f"{task} ({items:,} items)" for task, items in result.tasks.items())
        lines.append(f"each run is asked at its end: {asked}; not in the time below")
    lines += [_memory(need, result) for need in result.memory]
    speed = result.calibration
    if speed is not None and result.seconds is not None:
        if not result.calibrations:
            lines.append(f"measured with {result.workers} at a time: a run of {_speed(speed)}")
        for name, one in result.calibrations.items():
            hours = result.device_hours_by_model[name]
            price = result.price_per_hour
            cost = "" if price is None else f", {hours * price:.2f} at {price:g} an hour"
            lines.append(
                f"measured with {result.workers} at a time: a run of {name}, {_speed(one)}; "
                f"its runs take {hours:.3g} device-hours{cost}"
            )
        lines.append(f"about {duration(result.seconds)}, {result.device_hours:.3g} device-hours")
    if result.cost is not None:
        lines[-1] += f", {result.cost:.2f} at {result.price_per_hour:g} an hour"
    return "\n".join([*(f"warning: {line}" for line in result.warnings), *lines])


def _speed(speed: Calibration) -> str:
    inner = speed.without_embeddings
    beside = "" if inner is None else f" ({format_tokens(inner)} without embeddings)"
    return (
        f"{format_tokens(speed.parameters)} parameters{beside} trains "
        f"{format_tokens(speed.tokens_per_second)} tokens/s, evaluates "
        f"{format_tokens(speed.evaluation_tokens_per_second)} tokens/s and takes "
        f"{speed.start_seconds:.1f} s besides"
    )


def _memory(need: MemoryNeed, result: Plan) -> str:
    """Say what a run needs, and whether as many as there are at a time have room."""
    many = result.runs_on_a_device
    line = (
        f"memory: a run of {format_tokens(need.parameters)} parameters takes about "
        f"{format_bytes(need.run)} ({parts(need)})"
    )
    if need.machine is None:
        return line
    place = "GPU" if need.on_gpu else "machine"
    tight = ": that is tight" if need.is_tight(many) and need.can_fit(many) else ""
    shared = f" with {format_bytes(need.shared)} that they share" if need.shared else ""
    return (
        f"{line}; {many} at a time {format_bytes(need.together(many))}{shared}, of "
        f"{format_bytes(need.machine)} of the {place}{tight}"
    )


def duration(seconds: float) -> str:
    """Write a time for people: 42 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
