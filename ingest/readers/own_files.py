"""Files that lie among the input and are none: what a build wrote, and its settings."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from mixscale.contracts.shardset import FILE_NAME


class OwnFiles:
    """Tells what must not be read as text."""

    def __init__(self, folder: Path, paths: Sequence[Path]) -> None:
        """Take the folder of the YAML file, and paths of files and folders that are no input."""
        self._paths = frozenset(os.path.realpath(path) for path in paths)
        real = os.path.realpath(folder)
        self._above = frozenset([real, *map(str, Path(real).parents)])
        self._is_own_folder = functools.cache(self._find_out)

    def hold(self, real_path: str) -> bool:
        """Return whether a file is one of ours, or lies in any shard set, finished or not."""
        return real_path in self._paths or self._is_own_folder(os.path.dirname(real_path))

    def _find_out(self, folder: str) -> bool:
        if folder in self._paths:
            return True
        parent = os.path.dirname(folder)
        if folder in self._above or parent == folder:
            return False
        is_shardset = os.path.isfile(os.path.join(folder, FILE_NAME))
        is_unfinished = os.path.isdir(os.path.join(folder, ".build", "units"))
        return is_shardset or is_unfinished or self._is_own_folder(parent)
