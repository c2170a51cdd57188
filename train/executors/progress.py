"""Bars on a terminal, or plain lines, that show how far the jobs of an executor are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mixscale.contracts.config import format_tokens


class JobProgress:
    """A bar for each run in progress and one for the whole, or plain lines without a terminal.

    Args:
        tokens: Of each run that is to be done.
        report: Gets the lines when there is no terminal.
        ending: Describes how a run ended that left a record.
    """

    def __init__(
        self,
        tokens: Mapping[str, int],
        report: Callable[[str], None],
        ending: Callable[[str], str] = lambda name: "finished",
    ) -> None:
        self._tokens = dict(tokens)
        self._done = dict.fromkeys(tokens, 0)
        self._ended = 0
        self._report = report
        self._ending = ending
        self._started = time.monotonic()
        console = Console(stderr=True)
        self._has_terminal = console.is_terminal
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self._has_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> JobProgress:
        if self._has_terminal:
            self._bars.start()
        self._all = self._bars.add_task(
            f"{len(self._tokens)} runs", total=max(sum(self._tokens.values()), 1)
        )
        return self

    def __exit__(self, *_: object) -> None:
        # Without a terminal it would still print an empty line.
        if self._has_terminal:
            self._bars.stop()

    def start(self, name: str) -> None:
        """Show that a run has started."""
        self._done[name] = 0
        self._tasks[name] = self._bars.add_task(name, total=self._tokens[name])

    def advance(self, name: str, tokens: int) -> None:
        """Show how many tokens of a run are done."""
        self._done[name] = tokens
        self._bars.update(self._tasks[name], completed=tokens)
        self._bars.update(self._all, completed=sum(self._done.values()))

    def retry(self, name: str, reason: str) -> None:
        """Report that a run died and starts again."""
        self._bars.remove_task(self._tasks.pop(name))
        self._print(f"again: {name}: {reason}")

    def end(self, name: str, reason: str | None) -> None:
        """Report that a run has ended; `reason` when it left no record."""
        self._ended += 1
        if reason is None:
            self.advance(name, self._tokens[name])
        self._bars.remove_task(self._tasks.pop(name))
        state = self._ending(name) if reason is None else f"died: {reason}"
        self._print(
            f"[{self._ended}/{len(self._tokens)}] {name}, "
            f"{format_tokens(self._tokens[name])} tokens: {state}{self._left()}"
        )

    def _left(self) -> str:
        """Estimate the time left from the tokens done."""
        done, total = sum(self._done.values()), sum(self._tokens.values())
        if not 0 < done < total:
            return ""
        seconds = (time.monotonic() - self._started) * (total - done) / done
        return f", about {seconds:.0f} s left"

    def _print(self, line: str) -> None:
        if self._has_terminal:
            self._bars.console.print(line, highlight=False, markup=False)
        else:
            self._report(line)
