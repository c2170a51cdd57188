"""The index of shards in an object store, which tells their content."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from mixscale.contracts.errors import UserError


@functools.cache
def remote_index(address: str, timeout_seconds: float) -> bytes:
    """Read an `index.json` from an object store, once for all runs of a process.

    Raises:
        UserError: It cannot be had.
    """
    # Streaming imports torch, for seconds; few runs read from an object store.
    from streaming.base.storage.download import CloudDownloader

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.json"
        try:
            CloudDownloader.direct_download(address, str(path), timeout_seconds)
            return path.read_bytes()
        # The client of each store has exceptions of its own.
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise UserError(
                f"streams: remote: {address}: {type(error).__name__}: {reason}; the address "
                "may be wrong, or the credentials of the store missing in the environment"
            ) from error
