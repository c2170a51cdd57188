"""A fresh process for each run, from a fork server that has loaded Composer once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, Pipe
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

from mixscale.contracts.run_record import LOG
from mixscale.runtime.import_path import same_import_path
from mixscale.train.executors.job import REFUSED, Job

_PRELOAD = ["mixscale.train.executors.preload"]
_IMPORT_PATH = ("PYTHONPATH", "PYTHONSAFEPATH")
"""Variables that the fork server has of its own, and a run as this process has them."""


class Refused(str):
    """Why a run was refused: its config asks for what cannot be. Another try would not help."""


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """A run and its process."""

    job: Job
    slot: int
    process: BaseProcess
    messages: Connection
    """Brings the tokens done, and ends with the process."""

    def failure(self) -> str | None:
        """Wait for the end; return why the run left no record, None when it did."""
        self.process.join()
        code = self.process.exitcode
        if code == 0:
            return None
        log = self.job.folder / LOG
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}; see {log}"
        with contextlib.suppress(OSError):
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines:
                reason = f"{lines[-1]}; see {log}"
                return Refused(reason) if code == REFUSED else reason
        return f"exit status {code}; see {log}"


def fork_server() -> ForkServerContext:
    """Start the fork server that has loaded Composer, unless it is running."""
    # A process has one fork server. One that a build has started before lacks Composer, and every
    # run would load it anew; Python offers no public way to replace it.
    server: Any = forkserver._forkserver  # pyright: ignore[reportAttributeAccessIssue]
    if server._preload_modules != _PRELOAD:
        _end(server)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    # Python 3.10 looks into the current folder all the same; executors/preload.py then drops it.
    with same_import_path():
        forkserver.ensure_running()
    return context


def _end(server: Any) -> None:
    """End a fork server, which would live on while any forked process holds its pipe."""
    if server._forkserver_pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server._forkserver_pid, signal.SIGTERM)
    server._stop()


def start(
    context: ForkServerContext, job: Job, slot: int, slots: int, environment: Mapping[str, str]
) -> RunningJob:
    """Start a run in a fresh process.

    Args:
        context: From `fork_server`.
        job: The run.
        slot: Which share of the machine it may use.
        slots: How many shares there are.
        environment: Variables for the new process, which otherwise has those of the fork server.
    """
    variables = {name: os.environ.get(name) for name in _IMPORT_PATH} | dict(environment)
    ours, theirs = Pipe(duplex=False)
    process = context.Process(target=_train, args=(job, slot, slots, theirs, variables))
    process.start()
    # Only the child may hold this end: its death then closes the pipe.
    theirs.close()
    return RunningJob(job=job, slot=slot, process=process, messages=ours)


def _train(
    job: Job, slot: int, slots: int, messages: Connection, variables: Mapping[str, str | None]
) -> None:
    """Train in the new process. Only there: loading Composer would hold up the sweep itself."""
    _set_environment(variables)
    from mixscale.train.executors.worker import work

    work(job, slot, slots, messages)


def _set_environment(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
