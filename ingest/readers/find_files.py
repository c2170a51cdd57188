"""The input files of a build, found by the patterns of corpus.yaml."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.ingest.corpus import Corpus, Domain, Route, domain_names
from mixscale.ingest.readers.decompress import COMPRESSIONS
from mixscale.ingest.readers.registry import AUTO, all_readers, format_by_ending
from mixscale.ingest.readers.source_file import SourceFile, is_address


def find_files(corpus: Corpus, folder: Path) -> list[SourceFile]:
    """Find the input files in the order of their text: by domain, pattern and name.

    Args:
        corpus: Settings with their preset written out.
        folder: Where the YAML file lies.

    Raises:
        UserError: A pattern matches nothing, or a file would be read twice.
    """
    bases = [*([corpus.root] if corpus.root else []), "."]
    finder = _Finder(folder=folder, bases=tuple(os.path.normpath(folder / base) for base in bases))
    sources: list[SourceFile] = []
    for name in domain_names(corpus):
        domain = corpus.domains.get(name)
        if domain is not None and domain.paths:
            sources += finder.expand(domain, name, f"domains.{name}")
    if corpus.route is not None:
        sources += finder.expand(corpus.route, None, "route")
    _refuse_twice(sources)
    return sources


@dataclass(frozen=True, kw_only=True)
class _Finder:
    """Looks for files from the folder of the YAML file."""

    folder: Path
    bases: tuple[str, ...]
    """Folders that names are relative to, the first that fits."""

    def expand(self, group: Domain | Route, domain: str | None, key: str) -> list[SourceFile]:
        """Find the files of one domain or of the route."""
        files: dict[str, SourceFile] = {}
        for pattern in group.paths:
            expand = _expand_remote if is_address(pattern) else _expand_local
            for address, size, version in expand(pattern, self.folder):
                format_name, compression = _by_ending(address)
                files[address] = SourceFile(
                    address=address,
                    name=self.portable_name(address),
                    format=_format(group.format, format_name, f"{key}.paths: {address}"),
                    compression=compression,
                    size=size,
                    version=version,
                    domain=domain,
                )
        if not files:
            patterns = ", ".join(group.paths)
            raise UserError(
                f"{key}.paths: no file matches {patterns} (searched from {self.folder})"
            )
        return list(files.values())

    def portable_name(self, address: str) -> str:
        """Name a file without what differs from machine to machine, where that can be."""
        for base in self.bases:
            if address.startswith(base + os.sep):
                return address[len(base) + 1 :].replace(os.sep, "/")
        return address


def _expand_local(pattern: str, folder: Path) -> Iterator[tuple[str, int, str]]:
    base = os.path.normpath(folder / Path(pattern).expanduser())
    found = [base] if os.path.exists(base) else sorted(glob.glob(base, recursive=True))
    for path in found:
        if os.path.isdir(path):
            if path == base:
                raise UserError(f"{path}: is a folder; write a pattern such as {pattern}/*.jsonl")
            continue
        status = os.stat(path)
        yield path, status.st_size, str(status.st_mtime_ns)


def _expand_remote(pattern: str, folder: Path) -> Iterator[tuple[str, int, str]]:
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(pattern)
        has_magic = re.search(r"[*?\[]", path)
        found = sorted(filesystem.glob(path)) if has_magic else [path]
        for item in found:
            info = filesystem.info(item)
            if info.get("type") == "file":
                address = _full_address(pattern, filesystem, item)
                yield address, info.get("size") or 0, str(filesystem.ukey(item))
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"{pattern}: cannot list: {error}") from error


def _full_address(pattern: str, filesystem: Any, path: str) -> str:
    chain = pattern.rpartition("::")[0]
    return (
        f"{chain}::{filesystem.unstrip_protocol(path)}"
        if chain
        else (filesystem.unstrip_protocol(path))
    )


def _format(chosen: str, by_ending: str | None, where: str) -> str:
    if chosen != AUTO:
        return chosen
    if by_ending is None:
        *names, last = all_readers()
        raise UserError(
            f"{where}: cannot tell the format from the ending; "
            f"set `format:` to {', '.join(names)} or {last}"
        )
    return by_ending


def _by_ending(address: str) -> tuple[str | None, str | None]:
    """Find format and compression of a file by its endings."""
    endings = address.rpartition("/")[2].lower().split(".")[1:]
    compression = COMPRESSIONS.get(endings[-1]) if endings else None
    if compression is not None:
        endings.pop()
    return (format_by_ending(endings[-1]) if endings else None), compression


def _refuse_twice(sources: Sequence[SourceFile]) -> None:
    seen: dict[str, SourceFile] = {}
    for file in sources:
        other = seen.setdefault(file.address, file)
        if other is not file:
            raise UserError(
                f"{file.address}: read twice, for {other.domain or 'route'!r} and for "
                f"{file.domain or 'route'!r}; use `route:` when the records name their domain"
            )
