"""Where helper processes look for modules: where this process does, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_VARIABLES = ("PYTHONPATH", "PYTHONSAFEPATH")
HELPERS_CAN_PRELOAD = sys.version_info >= (3, 11)
"""Whether `same_import_path` holds for what a helper loads at its start.

Python 3.10 ignores PYTHONSAFEPATH. There a helper must load nothing of its own before its parent
has told it where to look.
"""


@contextlib.contextmanager
def same_import_path() -> Iterator[None]:
    """Let Python processes that start in the block find the modules that this process finds.

    `python -c`, by which multiprocessing starts its helpers, looks into the current folder first: a
    user's `numpy.py` there would be taken for the library, though the command does not see it.
    """
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
