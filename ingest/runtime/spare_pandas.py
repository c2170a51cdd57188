"""Workers without pandas, which pyarrow imports at its first array where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

_NAME = "pandas"


def spare_pandas() -> None:
    """Keep pyarrow from importing pandas in this process: that takes a third of a second.

    pyarrow only wants to know whether a value is a Series; once it has not found pandas it asks no
    more. Whoever needs pandas still gets it, from pyarrow too.
    """
    if _NAME in sys.modules:
        return
    import pyarrow

    sys.meta_path.insert(0, _Hidden)
    try:
        pyarrow.array([None])
    finally:
        sys.meta_path.remove(_Hidden)


class _Hidden:
    """Says that pandas is not installed."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        """Find nothing, so that the next finder is asked, unless it is pandas."""
        if name == _NAME:
            raise ModuleNotFoundError(name=_NAME)
