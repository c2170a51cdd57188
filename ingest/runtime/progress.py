"""How far a build is, for the person who waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_PLAIN_SECONDS = 10.0

Advance = Callable[[float], None]
"""Called with the amount of work just done."""


@contextmanager
def stage(name: str, total: float, unit: str, *, progress: bool) -> Iterator[Advance]:
    """Show one stage of the build on standard error: a bar on a terminal, else plain lines.

    Args:
        name: What is being done.
        total: How much there is to do.
        unit: What `total` counts; `bytes` are shown in megabytes.
        progress: Whether to show anything.
    """
    if not progress:
        yield _ignore
    elif sys.stderr.isatty():
        with _bar(name, total, unit) as advance:
            yield advance
    else:
        yield _PlainLines(name, total, unit)


def print_status(message: str, *, progress: bool) -> None:
    """Print one line about the build to standard error."""
    if progress:
        print(message, file=sys.stderr, flush=True)


def _ignore(amount: float) -> None:
    del amount


@contextmanager
def _bar(name: str, total: float, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    scale, label = _scaled(unit)
    columns: list[Any] = [
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}}/{{task.total:,.0f}} {label}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    ]
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(name, total=total / scale)
        yield lambda amount: bars.advance(bar, amount / scale)


class _PlainLines:
    """Prints now and then how far the stage is."""

    def __init__(self, name: str, total: float, unit: str) -> None:
        self._name, self._total = name, total
        self._scale, self._label = _scaled(unit)
        self._done = 0.0
        self._printed = time.monotonic()

    def __call__(self, amount: float) -> None:
        self._done += amount
        if time.monotonic() - self._printed >= _PLAIN_SECONDS:
            self._printed = time.monotonic()
            done, total = self._done / self._scale, self._total / self._scale
            print(f"{self._name}: {done:,.0f}/{total:,.0f} {self._label}", file=sys.stderr)


def _scaled(unit: str) -> tuple[float, str]:
    return (1e6, "MB") if unit == "bytes" else (1.0, unit)
