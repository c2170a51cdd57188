"""What `apply` did, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from mixscale.contracts.config import format_tokens
from mixscale.fit.apply.run_yaml import ApplyResult
from mixscale.fit.output.terminal import wrapped


def applied_lines(result: ApplyResult, tokens: int, *, dry_run: bool) -> Iterator[str]:
    """Say what stands in the file now, what that is predicted to bring, and where the old one is.

    Args:
        result: Of `apply`.
        tokens: The token budget that was asked for.
        dry_run: Whether nothing was to be written.
    """
    size = f" and {result.size}" if result.size else ""
    what = f"{result.meaning} for {format_tokens(tokens)} tokens{size}"
    if not result.diff:
        yield from wrapped(f"{result.path} has these proportions already: {what}.")
    else:
        verb = "Would write" if dry_run else "Wrote"
        yield from wrapped(f"{verb} {result.path}: {what}.")
    yield from wrapped(result.gain)
    if result.binding:
        held = ", ".join(f"{domain} ({rule})" for domain, rule in result.binding.items())
        yield from wrapped(f"At a bound: {held}.")
    if dry_run:
        yield "Nothing was written (--dry-run)."
    elif result.backup is not None:
        yield f"The old file is {result.backup}"
