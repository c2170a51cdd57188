"""Small files put together, so that the work grows with the bytes, not with the number of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import xxhash

from mixscale.ingest.readers import cut_units
from mixscale.ingest.readers.source_file import Unit

Bundle = tuple[Unit, ...]
"""What one task reads: one unit, or small files of one domain and use in their order."""

_HASHES = 1 << 64


def bundle_units(units: Iterable[Unit]) -> list[Bundle]:
    """Put small files that follow each other together; the order stays as it is.

    Where a bundle ends is decided by the name and size of its last file, so that files that come
    later on, in whatever place, change the bundles beside them and no others.
    """
    return [tuple(bundle) for bundle in _bundles(units)]


def _bundles(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    bundle: list[Unit] = []
    names: set[str] = set()
    weight = 0
    for unit in units:
        if bundle and not (_is_small(unit) and _may_join(unit, bundle, names)):
            yield bundle
            bundle, names, weight = [], set(), 0
        bundle.append(unit)
        names.add(unit.file.name)
        weight += _weight(unit)
        if not _is_small(unit) or weight >= cut_units.UNIT_BYTES or _ends(unit):
            yield bundle
            bundle, names, weight = [], set(), 0
    if bundle:
        yield bundle


def _is_small(unit: Unit) -> bool:
    return unit.end is None and _weight(unit) < cut_units.UNIT_BYTES // 8


def _may_join(unit: Unit, bundle: list[Unit], names: set[str]) -> bool:
    first = bundle[0].file
    is_alike = (unit.file.domain, unit.file.is_validation) == (first.domain, first.is_validation)
    # Rows are told apart by the name of their file.
    return is_alike and unit.file.name not in names


def _ends(unit: Unit) -> bool:
    """Decide whether a bundle ends here: on average after a fourth of `UNIT_BYTES`."""
    place = xxhash.xxh3_64_intdigest(unit.file.name.encode("utf-8", "surrogateescape"))
    return place * cut_units.UNIT_BYTES < 4 * _weight(unit) * _HASHES


def _weight(unit: Unit) -> int:
    """Bytes of a file, and what opening it costs: as much as reading some kilobytes."""
    return unit.file.size + (cut_units.UNIT_BYTES >> 13)
