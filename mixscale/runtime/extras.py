"""What an installation without extras lacks, said before the work starts."""

from __future__ import annotations

import importlib.util

from mixscale.contracts.errors import UserError

EXTRAS = {
    "train": (
        "torch",
        "composer",
        "streaming",
        "torchmetrics",
        "omegaconf",
        "cpuinfo",
        "filelock",
    ),
    "eval": ("lm_eval", "accelerate"),
    "ray": ("ray",),
    "sentencepiece": ("google", "sentencepiece"),
}
"""Modules that each extra of pyproject.toml brings."""


def require(extra: str, what: str) -> None:
    """Refuse what needs an extra that is not installed; nothing is imported.

    Args:
        extra: A key of `EXTRAS`.
        what: The command or option that needs it, for the message.

    Raises:
        UserError: A module of the extra is missing; the message is the line to type.
    """
    missing = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{what} needs {', '.join(missing)}: pip install 'mixscale[{extra}]'")
