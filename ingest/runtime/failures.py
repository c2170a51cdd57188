"""What to do when the machine lacks something, in a message."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from mixscale.contracts.errors import UserError


@contextmanager
def machine_failures_explained() -> Iterator[None]:
    """Turn a full disk and a killed worker into advice.

    Raises:
        UserError: One of them happened.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, probably for want of memory; nothing is lost: "
            "the same command goes on where it stopped (use fewer --workers if it happens again)"
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise UserError(
            f"cannot write on: {error.strerror or error}; make room and run the same command: "
            "it goes on where it stopped"
        ) from error
