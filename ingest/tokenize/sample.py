"""Texts from the heads of units, as a sample of the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixscale.ingest.readers.source_file import Unit
from mixscale.ingest.select.classify import ReadSettings, classified_blocks


def units_by_domain(units: Sequence[Unit]) -> list[list[Unit]]:
    """Group the units by the domain of their file."""
    groups: dict[str | None, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.file.domain, []).append(unit)
    return list(groups.values())


def spread_units(units: Sequence[Unit], most: int) -> tuple[Unit, ...]:
    """Take at most so many units, evenly spaced."""
    return tuple(units[:: -(-len(units) // most)])


def sample_texts(units: Sequence[Unit], settings: ReadSettings, size: int) -> list[bytes]:
    """Take about `size` bytes of text, the same from the head of every unit."""
    texts: list[bytes] = []
    for unit in units:
        texts += _head(unit, settings, size // len(units))
    return texts


def enough_texts(
    units: Sequence[Unit], settings: ReadSettings, size: int, *, fewest: int
) -> Iterator[bytes]:
    """Yield about `size` bytes from the heads of some units, of more where those are small.

    Args:
        units: Of one domain.
        settings: How to read them.
        size: Bytes wanted; less only where the units have no more.
        fewest: Units that the text is taken from at least, evenly spaced.
    """
    left, count, few = list(units), fewest, size // 100
    while left and size > few:
        chosen = spread_units(left, count)
        found = sample_texts(chosen, settings, max(size, len(chosen)))
        yield from found
        read = sum(map(len, found))
        size -= read
        taken = set(map(id, chosen))
        left = [unit for unit in left if id(unit) not in taken]
        # As many more as the rest needs, if they are like these.
        count = max(fewest, -(-size * len(chosen) // max(read, 1)))


def _head(unit: Unit, settings: ReadSettings, size: int) -> Iterator[bytes]:
    for block in classified_blocks(unit, settings, size):
        for text in block.texts:
            yield _cut(text, size)
            size -= len(text)
            if size <= 0:
                return


def _cut(text: bytes, size: int) -> bytes:
    """Shorten UTF-8 text to at most `size` bytes, at a whole character."""
    return text if len(text) <= size else text[:size].decode("utf-8", "ignore").encode("utf-8")
