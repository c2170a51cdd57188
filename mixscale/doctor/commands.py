"""Which commands work here, and what the others lack."""

from __future__ import annotations

from dataclasses import dataclass

from mixscale.doctor.packages import missing_modules

NEEDS: dict[str, tuple[str, ...]] = {
    "init": (),
    "build": (),
    "build --upload": ("train",),
    "build --executor ray": ("ray",),
    "stats": (),
    "sql": (),
    "verify": (),
    "plan": ("train",),
    "sweep": ("train",),
    "sweep --executor ray": ("train", "ray"),
    "train": ("train",),
    "evaluate": ("train",),
    "evaluate --tasks": ("train", "eval"),
    "compare": (),
    "export": ("train",),
    "fit": (),
    "apply": (),
    "report": (),
    "demo": ("train",),
    "doctor": (),
    "completion": (),
}
"""The extras that each command needs, and some of their options."""


@dataclass(frozen=True, kw_only=True)
class CommandState:
    """Whether a command can be used here."""

    command: str
    missing: tuple[str, ...]
    """Modules that are not installed."""
    install: str | None
    """The line to type; nothing when nothing is missing."""


def command_states() -> list[CommandState]:
    """Say for every command what it lacks."""
    return [_state(command, extras) for command, extras in NEEDS.items()]


def _state(command: str, extras: tuple[str, ...]) -> CommandState:
    lacking = [extra for extra in extras if missing_modules(extra)]
    # The extra `eval` brings what `train` does.
    named = [extra for extra in lacking if not (extra == "train" and "eval" in lacking)]
    missing = tuple(dict.fromkeys(name for extra in lacking for name in missing_modules(extra)))
    install = f"pip install 'mixscale[{','.join(named)}]'" if named else None
    return CommandState(command=command, missing=missing, install=install)
