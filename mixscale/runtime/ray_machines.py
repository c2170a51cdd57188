"""What the machines of a Ray cluster must have in common: a folder, and versions of packages."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mixscale.contracts.atomic import temporary_beside
from mixscale.contracts.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What all machines must have in common with the one that gives out the work."""

    marker: Path
    """A file that is there for as long as the work is wanted."""
    versions: dict[str, str]

    def check(self) -> None:
        """Refuse to work on a machine where results would be lost or differ.

        Raises:
            UserError: Names the machine and what it lacks.
        """
        host = platform.node()
        if not self.marker.exists():
            raise UserError(
                f"{host} does not see {self.marker.parent}; with Ray, inputs and outputs must lie "
                "in folders that all machines share under the same path"
            )
        for package, expected in self.versions.items():
            found = _version(package)
            if found != expected:
                raise UserError(
                    f"{host} has {package} {found}, this machine {expected}; install the same "
                    "packages on all machines of the cluster"
                )


@contextmanager
def machine_requirements(folder: Path, packages: Sequence[str]) -> Iterator[Requirements]:
    """Describe this machine to the others.

    Args:
        folder: All machines must share it.
        packages: Their versions must be the same everywhere, for equal results.
    """
    marker = temporary_beside(folder / "ray")
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    try:
        yield Requirements(marker=marker, versions={name: _version(name) for name in packages})
    finally:
        marker.unlink(missing_ok=True)


@functools.cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def refresh_folder(folder: Path) -> None:
    """Make a network file system notice what another machine has just written to a folder."""
    # It may remember for half a minute that a file was missing; opening the folder ends that.
    for place in (folder.parent, folder):
        os.listdir(place)
