"""How a sweep ended, for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mixscale.contracts.config import format_tokens
from mixscale.contracts.run_record import RunRecord
from mixscale.train.sweep.sweep import SweepResult

_WIDE = 200
"""Characters of a line when there is no terminal."""
_OTHER_COLUMNS = 50
"""Characters of the columns beside run and domains."""


def sweep_table(result: SweepResult, width: int | None = None) -> Table:
    """Draw the records of a sweep: a row for each run.

    Args:
        result: The sweep.
        width: Characters there are, by default those of the terminal. Where the losses of all
            domains do not fit, the table has their mean alone.
    """
    domains = sorted({domain for record in result.records for domain in record.evaluation})
    labels = [_label(record) for record in result.records]
    console = Console()
    width = width or (console.width if console.is_terminal else _WIDE)
    needed = max(map(len, labels), default=0) + _OTHER_COLUMNS
    needed += sum(max(len(domain), 6) + 3 for domain in domains)
    columns = domains if needed <= width else []
    table = Table(title="validation loss, nats per token")
    table.add_column("run", overflow="fold")
    for name in ("tokens", "state", *columns, "mean", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for label, record in zip(labels, result.records, strict=True):
        losses = {domain: loss.loss_nats for domain, loss in record.evaluation.items()}
        table.add_row(
            label,
            format_tokens(record.seen_tokens),
            record.status,
            *(f"{losses[domain]:.4f}" if losses else "" for domain in columns),
            f"{sum(losses.values()) / len(losses):.4f}" if losses else "",
            f"{record.seconds:.0f}",
        )
    return table


def sweep_summary(result: SweepResult) -> str:
    """Describe how the sweep ended, and name each run that did not finish with the reason."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(result.states.items()))
    lines = [
        f"{record.run_id}: {record.status}: {record.error}"
        for record in result.records
        if record.status != "finished"
    ]
    lines += [f"{name}: not asked its tasks: {why}" for name, why in result.not_asked.items()]
    return "\n".join([*lines, f"{states}; records in {result.out / 'runs'}"])


def _label(record: RunRecord) -> str:
    """Shorten a run id by what all runs of the sweep share, and by its hash."""
    return record.run_id.removeprefix(f"{record.sweep}-").rpartition("-")[0] or record.run_id
