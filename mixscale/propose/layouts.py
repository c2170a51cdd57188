"""Published layouts that the files of a folder have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mixscale.ingest.presets import LAYOUTS, Layout
from mixscale.ingest.readers.local_files import expand_braces, parts_match
from mixscale.propose.listing import ListedFile

_LEAST_PART = 0.9
"""So much of the text, by bytes, must lie where a layout says."""
_LONE = {
    "fineweb": ("data/CC-MAIN-*/**", "sample/*BT/**"),
    "dclm": ("**/global-shard_*/**",),
}
"""Layouts of one domain match nearly anything, so their folders must have these names."""


@dataclass(frozen=True, kw_only=True)
class KnownLayout:
    """A layout of `presets.py` below some folder."""

    preset: str
    root: tuple[str, ...]
    files: dict[str, list[ListedFile]]
    """By domain; those of a layout whose records name their domain under the name \"\"."""

    @property
    def layout(self) -> Layout:
        """Its description."""
        return LAYOUTS[self.preset]


def known_layout(files: Sequence[ListedFile]) -> KnownLayout | None:
    """Find the published layout that nearly all files have, by their names alone."""
    for root in _roots(files):
        below = [file for file in files if file.parts[: len(root)] == root]
        for preset, layout in LAYOUTS.items():
            if not layout.paths:
                continue
            found = {
                name: matching
                for name, patterns in layout.paths.items()
                if (matching := _matching(below, root, patterns))
            }
            chosen = _chosen(layout, found)
            is_named = preset not in _LONE or _matching(below, root, _LONE[preset])
            is_divided = len(chosen) >= 2 or preset in _LONE or preset == "redpajama-v2"
            if chosen and is_named and is_divided and _is_most(chosen, files):
                return KnownLayout(preset=preset, root=root, files=chosen)
    return None


def routed_layout(
    files: Sequence[ListedFile], field: str, values: Counter[str]
) -> KnownLayout | None:
    """Find the published layout whose records name their domain in this field.

    Args:
        files: All of them.
        field: Dotted path of the field.
        values: Records by what they have in it.
    """
    for preset, layout in LAYOUTS.items():
        known = sum(count for value, count in values.items() if value in layout.routes)
        if field == layout.route_field and 2 * known >= values.total():
            for root in _roots(files):
                below = [file for file in files if file.parts[: len(root)] == root]
                # Its folders for validation are told by their place below the root.
                tops = {file.parts[len(root)] for file in below}
                found = _matching(below, root, layout.route_paths)
                if (len(tops) > 1 or not root) and _is_most({"": found}, files):
                    return KnownLayout(preset=preset, root=root, files={"": found})
    return None


def _roots(files: Sequence[ListedFile]) -> list[tuple[str, ...]]:
    """List the folders, from the top, in which nearly everything lies."""
    roots: list[tuple[str, ...]] = [()]
    whole = sum(file.size for file in files)
    while True:
        root = roots[-1]
        sizes: Counter[str] = Counter()
        for file in files:
            if file.parts[: len(root)] == root and len(file.parts) > len(root) + 1:
                sizes[file.parts[len(root)]] += file.size
        largest = sizes.most_common(1)
        if not largest or largest[0][1] < _LEAST_PART * whole or len(roots) > 8:
            return roots
        roots.append((*root, largest[0][0]))


def _matching(
    files: Sequence[ListedFile], root: tuple[str, ...], patterns: Sequence[str]
) -> list[ListedFile]:
    split = [one.split("/") for pattern in patterns for one in expand_braces(pattern)]
    return [
        file
        for file in files
        if any(parts_match(file.parts[len(root) :], parts) for parts in split)
    ]


def _chosen(layout: Layout, found: dict[str, list[ListedFile]]) -> dict[str, list[ListedFile]]:
    """Leave each file to one domain: RedPajama-V2's `head` is also part of `head_middle`."""
    preferred = [name for name in (*layout.default, *found) if name in found]
    chosen: dict[str, list[ListedFile]] = {}
    taken: set[tuple[str, ...]] = set()
    for name in dict.fromkeys(preferred):
        if not any(file.parts in taken for file in found[name]):
            chosen[name] = found[name]
            taken.update(file.parts for file in found[name])
    return {name: chosen[name] for name in layout.paths if name in chosen}


def _is_most(chosen: dict[str, list[ListedFile]], files: Sequence[ListedFile]) -> bool:
    whole = sum(file.size for file in files)
    return sum(f.size for group in chosen.values() for f in group) >= _LEAST_PART * whole > 0
