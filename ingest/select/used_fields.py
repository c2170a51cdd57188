"""Which fields of a record a domain looks at, so that readers of columns can leave out the rest."""

from __future__ import annotations

from mixscale.ingest.corpus import NO_META, Domain
from mixscale.ingest.select.filters import parse_filter, parse_path


def used_fields(domain: Domain) -> tuple[str, ...] | None:
    """List the fields, that of the text first; nothing when all may be kept beside the text."""
    if domain.meta is None:
        return None
    kept = (domain.meta,) if isinstance(domain.meta, str) else domain.meta
    paths = [parse_path(domain.text)]
    paths += [parse_path(path) for path in kept if path != NO_META]
    paths += [parse_filter(text).path for text in domain.filters]
    # A column may have dots in its name.
    names = (".".join(path[:length]) for path in paths for length in range(1, len(path) + 1))
    return tuple(dict.fromkeys(names))
