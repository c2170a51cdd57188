"""Another process of the same Python, asked for what this one should not load."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping


def ask_python(
    code: str, seconds: int, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str] | str:
    """Run code in another process.

    Args:
        code: What it runs.
        seconds: How long it may take.
        environment: Its environment; that of this process when absent.

    Returns:
        How it ended, or what to say when it did not in time.
    """
    try:
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds} s"


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of what it complained about."""
    return (done.stderr.strip().splitlines() or ["no message"])[-1]
