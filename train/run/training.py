"""One training run: from its config to its record."""

from __future__ import annotations

import contextlib
import datetime
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from composer import Time
from composer.utils import dist

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import LOG, RUN_YAML, RunRecord, Status, write_record
from mixscale.train.config import RunConfig, write_run_config
from mixscale.train.evaluate.validation_items import write_validation_items
from mixscale.train.run.failures import failure_of
from mixscale.train.run.mistakes import mistake_of
from mixscale.train.run.record import Outcome, make_record
from mixscale.train.run.run_id import what_counts
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
        The record. Its status is `finished`; or `stopped`, `diverged`, `out_of_memory` or
        `data_error`, with the reason and the way out in `error`.

    Raises:
        UserError: The config asks for what is not there; or memory ran out or a shard cannot be
            read, with several devices: those that are well wait for the others then.
    """
    folder = Path(folder)
    with _mistakes_named(config, folder):
        return _train(config, folder, purpose or {}, listener, listener_interval)


def _train(
    config: RunConfig,
    folder: Path,
    purpose: dict[str, Any],
    listener: Callable[[int], None] | None,
    listener_interval: float,
) -> RunRecord:
    started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    outcome = _attempt(config, folder, listener, listener_interval)
    record = make_record(config, outcome, folder.name, started, purpose)
    if dist.get_global_rank() == 0:
        if outcome.prepared is not None and record.evaluation:
            write_validation_items(folder, outcome.prepared.evaluation.items, record)
        write_record(folder, record)
    return record


@contextlib.contextmanager
def _mistakes_named(config: RunConfig, folder: Path) -> Iterator[None]:
    """Turn what a library raises about the config into a message that names the key.

    The traceback goes to the run's log: the message is not all that there is to know.
    """
    try:
        yield
    except UserError as error:
        if error.__cause__ is not None:
            _log(error, folder)
        raise
    except Exception as error:
        mistake = mistake_of(error, config)
        if mistake is None:
            raise
        _log(error, folder)
        raise UserError(f"{mistake} (more in {folder / LOG})") from error


def _log(error: BaseException, folder: Path) -> None:
    """Write a traceback into the run's log, unless that is where the trouble lies."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG).open("a", encoding="utf-8") as log:
            traceback.print_exception(error, file=log)


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
        reason = _fit(prepared, config)
        status = "finished" if reason is None else "stopped"
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


def _fit(prepared: PreparedRun, config: RunConfig) -> str | None:
    """Train until the end; return what ended the run before its duration, if anything did."""
    trainer, state = prepared.trainer, prepared.trainer.state
    # A callback that stops a run changes it.
    planned = Time.from_input(config.max_duration)
    try:
        # Killed between its last checkpoint and its record, a run has nothing left to train.
        if state.timestamp < planned:
            if config.eval_first and not state.timestamp.batch.value:
                trainer.eval()
            trainer.fit()
    finally:
        prepared.watch.stop()
        trainer.close()
        for dataset in prepared.datasets:
            dataset.stop()
    done = state.timestamp.get(planned.unit)
    if done >= planned:
        return None
    callbacks = what_counts(config).get("callbacks", {})
    return (
        f"a callback ended the run at {done.value} of {planned.to_timestring()} "
        f"(callbacks: {', '.join(callbacks) or 'none that stops runs'})"
    )
