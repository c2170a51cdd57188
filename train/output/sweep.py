"""How a sweep ended, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from mixscale.contracts.config import format_tokens
from mixscale.contracts.run_record import ENDED, RunRecord
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
    failures = [line.strip() for line in _failures(result)]
    return "\n".join([*failures, f"{states}; records in {result.out / 'runs'}"])


def sweep_answer(result: SweepResult, experiment: str) -> Iterator[str]:
    """Say what was done, what failed, and what to do next.

    Args:
        result: The sweep.
        experiment: Its file, for the command to copy.
    """
    finished, all_runs = result.states.get("finished", 0), len(result.records)
    tokens = format_tokens(sum(record.seen_tokens for record in result.records))
    before = f", {result.skipped} of them before" if result.skipped else ""
    if result.is_complete:
        yield f"Done: all {all_runs} runs have their result{before}; {tokens} tokens in all."
        yield f"Next: mixscale fit {experiment}"
    else:
        states = ", ".join(f"{n} {s}" for s, n in sorted(result.states.items()) if s != "finished")
        missing = f"{all_runs - finished} of {all_runs} runs left no result ({states})"
        yield f"Not complete: {missing if finished < all_runs else 'tasks were not asked'}."
        yield from _failures(result)
        yield from _remedies(result, experiment)
    yield f"Records in {result.out / 'runs'}"


def _failures(result: SweepResult) -> Iterator[str]:
    """A line for each run that did not finish, or was not asked its tasks."""
    for record in result.records:
        if record.status != "finished":
            yield f"  {record.run_id}: {record.status}: {record.error}"
    for name, why in result.not_asked.items():
        yield f"  {name}: not asked its tasks: {why}"


def _remedies(result: SweepResult, experiment: str) -> Iterator[str]:
    broken = [record for record in result.records if record.status != "finished"]
    final = sum(record.status in ENDED for record in broken)
    if final < len(broken) or result.not_asked:
        yield (
            f"Next: mixscale sweep {experiment} (the same command tries the "
            f"{len(broken) - final + len(result.not_asked)} again, once the reason is mended)"
        )
    if final:
        yield (
            f"{final} would end the same way again (stopped, diverged): change the recipe, or fit "
            "without them"
        )
    if result.states.get("finished"):
        yield f"A fit leaves them out: mixscale fit {experiment}"


def _label(record: RunRecord) -> str:
    """Shorten a run id by what all runs of the sweep share, and by its hash."""
    return record.run_id.removeprefix(f"{record.sweep}-").rpartition("-")[0] or record.run_id
