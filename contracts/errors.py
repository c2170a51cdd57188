"""The error a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what the user gave: the message says what, where and the way out.

    The command line prints the message alone and exits with 2; anything else that is raised is a
    bug of ours and keeps its traceback.
    """


def unknown_name(where: str, found: str, allowed: Iterable[str]) -> UserError:
    """Build the error for a name that is none of the allowed ones, suggesting the nearest."""
    names = sorted(allowed)
    near = difflib.get_close_matches(found, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    if near and len(names) > _MOST_NAMES:
        return UserError(f"{where}: unknown value {found!r}.{hint}")
    return UserError(f"{where}: unknown value {found!r}; expected one of {names}.{hint}")


_MOST_NAMES = 40
"""More of them hide the one that was meant."""
