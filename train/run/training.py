"""One training run: from its config to its record."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from composer.utils import dist

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RUN_YAML, RunRecord, Status, write_record
from mixscale.train.config import RunConfig, write_run_config
from mixscale.train.run.failures import failure_of
from mixscale.train.run.record import Outcome, make_record
from mixscale.train.run.trainer import PreparedRun, prepare_run


def train(
    config: RunConfig,
    folder: str | Path,
    *,
    purpose: dict[str, Any] | None = None,
    listener: Callable[[int], None] | None = None,
    listener_interval: float = 0.5,
) -> RunRecord:
    """Train one model, evaluate it, write its record into `folder`.

    Args:
        config: The run.
        folder: `runs/<run_id>`; gets `run.yaml` first, `result.json` last.
        purpose: Fields of the record that state what the run is for (sweep, role, domain ...).
        listener: Called with the tokens done, after batches.
        listener_interval: Seconds between two of these calls, at least.

    Returns:
        The record. Its status is `finished`; or `diverged`, `out_of_memory` or `data_error`, with
        the reason and the way out in `error`.

    Raises:
        UserError: The config asks for what is not there; or memory ran out or a shard cannot be
            read, with several devices: those that are well wait for the others then.
    """
    folder = Path(folder)
    started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    outcome = _attempt(config, folder, listener, listener_interval)
    record = make_record(config, outcome, folder.name, started, purpose or {})
    if dist.get_global_rank() == 0:
        write_record(folder, record)
    return record


def _attempt(
    config: RunConfig,
    folder: Path,
    listener: Callable[[int], None] | None,
    listener_interval: float,
) -> Outcome:
    """Prepare the run and train, until it ends or something goes wrong."""
    prepared: PreparedRun | None = None
    status: Status = "finished"
    reason: str | None = None
    try:
        prepared = prepare_run(config, listener, listener_interval)
        _write_run_yaml(folder, config)
        _fit(prepared)
    except Exception as error:
        failure = failure_of(error, config)
        if failure is None:
            raise
        status, reason = failure
        if status != "diverged" and dist.get_world_size() > 1:
            raise UserError(f"{status}: {reason}") from error
        _write_run_yaml(folder, config)
    return Outcome(prepared=prepared, status=status, error=reason)


def _write_run_yaml(folder: Path, config: RunConfig) -> None:
    """Write the resolved config, which `mixscale train` and LLM Foundry both read."""
    if dist.get_global_rank() == 0:
        write_run_config(folder / RUN_YAML, config)


def _fit(prepared: PreparedRun) -> None:
    state = prepared.trainer.state
    try:
        # Killed between its last checkpoint and its record, a run has nothing left to train.
        if state.max_duration is None or state.timestamp < state.max_duration:
            prepared.trainer.fit()
    finally:
        prepared.watch.stop()
        prepared.trainer.close()
