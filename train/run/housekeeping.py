"""Callbacks of LLM Foundry's that keep a long run on several devices going."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading

import torch
from composer import Callback, Logger, State


class ScheduledGarbageCollector(Callback):
    """Collects garbage every so many batches, on all devices at once, and not in between.

    A device whose Python stops to collect keeps all others waiting; at the same batch they wait
    together.

    Args:
        batch_interval: Batches between two full collections.
        gen_1_batch_interval: Batches between two collections of what is young.
        eval_keep_disabled: Whether not to collect during evaluations either.
    """

    def __init__(
        self,
        batch_interval: int,
        gen_1_batch_interval: int | None = None,
        eval_keep_disabled: bool = False,
    ) -> None:
        for name, value in (
            ("batch_interval", batch_interval),
            ("gen_1_batch_interval", gen_1_batch_interval),
        ):
            if value is not None and not (isinstance(value, int) and value > 0):
                raise ValueError(f"{name} is {value!r}; it must be a number of batches, 1 or more")
        self.batch_interval = batch_interval
        self.gen_1_batch_interval = gen_1_batch_interval
        self.eval_keep_disabled = eval_keep_disabled
        self._was_on = True

    def fit_start(self, state: State, logger: Logger) -> None:
        """Turn automatic collection off."""
        self._was_on = gc.isenabled()
        gc.disable()
        _collect()

    def before_dataloader(self, state: State, logger: Logger) -> None:
        """Collect when it is time."""
        batch = int(state.timestamp.batch)
        if self.gen_1_batch_interval and batch % self.gen_1_batch_interval == 0:
            gc.collect(1)
        if batch % self.batch_interval == 0:
            _collect()

    def eval_start(self, state: State, logger: Logger) -> None:
        """Collect before an evaluation."""
        _collect()
        if not self.eval_keep_disabled:
            gc.enable()

    def eval_end(self, state: State, logger: Logger) -> None:
        """Collect after an evaluation."""
        if not self.eval_keep_disabled:
            gc.disable()
        _collect()

    def fit_end(self, state: State, logger: Logger) -> None:
        """Leave automatic collection as it was."""
        self._restore()

    def close(self, state: State, logger: Logger) -> None:
        """Leave it so after a run that failed, too."""
        self._restore()

    def _restore(self) -> None:
        if self._was_on:
            gc.enable()


def _collect() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class RunTimeout(Callback):
    """Ends the process when it is still there so many seconds after the training has ended.

    Args:
        timeout: Seconds.
    """

    def __init__(self, timeout: int = 1800) -> None:
        if not (isinstance(timeout, int | float) and timeout > 0):
            raise ValueError(f"timeout is {timeout!r}; it must be a number of seconds above 0")
        self.timeout = timeout
        self._timer: threading.Timer | None = None

    def fit_end(self, state: State, logger: Logger) -> None:
        """Start to count."""
        self._timer = threading.Timer(self.timeout, self._interrupt)
        self._timer.daemon = True
        self._timer.start()

    def post_close(self) -> None:
        """Stop counting: the run has closed everything."""
        if self._timer is not None:
            self._timer.cancel()

    def _interrupt(self) -> None:
        print(f"still there {self.timeout} s after the training", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGINT)
