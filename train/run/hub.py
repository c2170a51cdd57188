"""Models and tokenizers from a folder, from the hub's cache, or from the hub."""

from __future__ import annotations

import difflib
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from huggingface_hub import constants

Loaded = TypeVar("Loaded")
_SECONDS = 3.0
"""How long the hub may take to accept a connection; without a network nobody answers."""


def load(
    make: Callable[..., Loaded], name: str, *, with_token: bool = False, **arguments: Any
) -> Loaded:
    """Load what transformers finds under a name, without waiting for a network that is not there.

    transformers tries the hub several times for each file that it looks for, and takes up to a
    minute to give up.

    Args:
        make: A `from_pretrained`.
        name: A folder, or a name on the hub.
        with_token: Whether the hub is asked with the user's token (HF_TOKEN), which must be there.
        arguments: Further ones of `make`.

    Raises:
        OSError: There is none of that name: no such folder, not in the cache while the hub cannot
            be reached, or not on the hub. What else `make` raises passes through.
    """
    if Path(name).exists():
        return make(name, **arguments)
    if _is_path(name):
        raise OSError(f"there is no such folder (relative paths count from {Path.cwd()})")
    try:
        return make(name, **arguments, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = why_offline()
        if reason is not None:
            raise OSError(f"it is no folder and not in the hub's cache, and {reason}") from error
    return make(name, **arguments, **({"token": True} if with_token else {}))


def why_offline() -> str | None:
    """Say why the hub cannot be asked; None when it can."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if not _is_reachable(constants.ENDPOINT):
        return f"{constants.ENDPOINT} cannot be reached"
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest a known name that a mistyped one is near to; empty when there is none."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _is_path(name: str) -> bool:
    """Whether a name can only be meant as a folder; on the hub they are `name` or `owner/name`."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/")


def _is_reachable(endpoint: str) -> bool:
    """Whether the hub, or the proxy that leads to it, accepts a connection."""
    address = urlsplit(endpoint)
    proxy = urllib.request.getproxies().get(address.scheme)
    if proxy and not urllib.request.proxy_bypass(address.hostname or ""):
        address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = address.port or (80 if address.scheme == "http" else 443)
    answered = threading.Event()

    def connect() -> None:
        try:
            with socket.create_connection((address.hostname or "", port), timeout=_SECONDS):
                answered.set()
        except OSError:
            pass

    # In a thread of its own: looking up a name has no time limit.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return answered.is_set()
