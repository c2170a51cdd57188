"""The input files of a build, found by the patterns of corpus.yaml."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.ingest.corpus import Corpus, Domain, Route, domain_names, preset_patterns
from mixscale.ingest.readers.decompress import COMPRESSIONS, compression_of
from mixscale.ingest.readers.local_files import (
    expand_braces,
    expand_path,
    find_local_files,
    is_below,
)
from mixscale.ingest.readers.own_files import OwnFiles
from mixscale.ingest.readers.registry import AUTO, all_readers, format_by_ending
from mixscale.ingest.readers.source_file import SourceFile, is_address, local_version
from mixscale.ingest.select.used_fields import used_fields

_LARGE_BYTES = 1 << 20
_START_BYTES = 16


def find_files(corpus: Corpus, folder: Path, own: Sequence[Path] = ()) -> list[SourceFile]:
    """Find the input files in the order of their text: by domain, pattern and name.

    Args:
        corpus: Settings with their preset written out.
        folder: Where the YAML file lies.
        own: Files and folders that are no input, such as the output.

    Raises:
        UserError: A pattern matches nothing, or a file would be read twice.
    """
    bases = [*([expand_path(corpus.root)] if corpus.root else []), "."]
    finder = _Finder(
        folder=folder,
        bases=tuple(os.path.normpath(folder / base) for base in bases),
        optional=frozenset(preset_patterns(corpus)),
        own=OwnFiles(folder, own),
    )
    sources: list[tuple[str, SourceFile]] = []
    for name in domain_names(corpus):
        domain = corpus.domains.get(name)
        if domain is not None:
            groups = _groups(domain, name, f"domains.{name}", domain.validation_paths)
            sources += finder.expand_both(*groups)
    if corpus.route is not None:
        groups = _groups(corpus.route, None, "route", corpus.validation_paths)
        sources += finder.expand_both(*groups)
    _refuse_twice(sources)
    return [file for _, file in sources]


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Patterns whose files are read in the same way."""

    patterns: tuple[str, ...]
    exclude: tuple[str, ...]
    settings: Domain | Route
    domain: str | None
    key: str
    """Of the patterns, for messages."""
    is_validation: bool


def _groups(
    settings: Domain | Route, domain: str | None, key: str, validation_paths: tuple[str, ...]
) -> tuple[_Group, _Group]:
    """Give the files for training and those for validation."""
    read = _Group(
        patterns=settings.paths,
        exclude=settings.exclude,
        settings=settings,
        domain=domain,
        key=f"{key}.paths",
        is_validation=False,
    )
    # What a preset excludes is what may be asked for here.
    name = f"{key}.validation_paths" if domain else "validation_paths"
    held_out = replace(read, patterns=validation_paths, exclude=(), key=name, is_validation=True)
    return read, held_out


@dataclass(frozen=True, kw_only=True)
class _Finder:
    """Looks for files from the folder of the YAML file."""

    folder: Path
    bases: tuple[str, ...]
    """Folders that names are relative to, the first that fits."""
    optional: frozenset[str]
    """Patterns that may match nothing."""
    own: OwnFiles

    def expand_both(self, read: _Group, held_out: _Group) -> list[tuple[str, SourceFile]]:
        """Find the files of one domain or of the route, each with its name without links."""
        validation = self._files(held_out) if held_out.patterns else {}
        found = self._files(read) if read.patterns else {}
        others = {path: file for path, file in found.items() if path not in validation}
        if found and not others:
            raise UserError(
                f"{read.key}: all of its files are among those of `validation_paths`; "
                "give files to train on"
            )
        return [*others.items(), *validation.items()]

    def _files(self, group: _Group) -> dict[str, SourceFile]:
        files: dict[str, SourceFile] = {}
        excluding: set[str] = set()
        settings, key = group.settings, group.key
        fields = used_fields(settings) if isinstance(settings, Domain) else None
        for pattern in group.patterns:
            found = [
                item
                for one in expand_braces(pattern)
                for item in self._expand(one, group, excluding)
            ]
            if not found and pattern not in self.optional:
                raise self._nothing(key, pattern)
            for real_path, address, size, version in found:
                if real_path in files:
                    continue
                format_name, compression = format_by_name(address)
                if compression is None and size > _LARGE_BYTES:
                    # A large file is read in ranges, unless it is compressed.
                    compression = _by_content(address)
                files[real_path] = SourceFile(
                    address=address,
                    name=self.portable_name(address),
                    format=_format(settings.format, format_name, f"{key}: {address}"),
                    compression=compression,
                    size=size,
                    version=version,
                    domain=group.domain,
                    fields=fields,
                    separator=settings.separator if isinstance(settings, Domain) else None,
                    encoding=settings.encoding,
                    is_validation=group.is_validation,
                )
        if not files:
            raise self._nothing(key, ", ".join(group.patterns))
        for pattern in group.exclude:
            if pattern not in excluding | self.optional:
                where = key.replace("paths", "exclude")
                warnings.warn(f"{where}: {pattern} leaves nothing out", stacklevel=2)
        return files

    def _expand(
        self, pattern: str, group: _Group, excluding: set[str]
    ) -> Iterator[tuple[str, str, int, str]]:
        """Find files; the patterns that leave some out are added to `excluding`."""
        found = _expand_remote(pattern) if is_address(pattern) else self._expand_local(pattern)
        for item in found:
            others = [other for other in group.exclude if is_below(item[1], other, self.folder)]
            excluding.update(others)
            if not others:
                yield item

    def _expand_local(self, pattern: str) -> Iterator[tuple[str, str, int, str]]:
        for file in find_local_files(pattern, self.folder):
            # What is named without a pattern is meant, whatever it is.
            if file.is_named or not self.own.hold(file.real_path):
                yield file.real_path, file.path, file.status.st_size, local_version(file.status)

    def _nothing(self, key: str, patterns: str) -> UserError:
        is_of_preset = all(pattern in self.optional for pattern in patterns.split(", "))
        remedy = "name the domains to read below `domains`" if is_of_preset else "mend or remove it"
        return UserError(
            f"{key}: no file matches {patterns} (searched from {self.folder}); {remedy}"
        )

    def portable_name(self, address: str) -> str:
        """Name a file without what differs from machine to machine, where that can be."""
        name = address
        for base in self.bases:
            start = base.rstrip(os.sep) + os.sep
            if address.startswith(start):
                name = address[len(start) :].replace(os.sep, "/")
                break
        if name.isascii():
            return name
        # A name may hold any bytes; what is no text is written as \xNN.
        return os.fsencode(name).decode("utf-8", "backslashreplace")


def _expand_remote(pattern: str) -> Iterator[tuple[str, str, int, str]]:
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(pattern)
        has_magic = re.search(r"[*?\[]", path)
        found = sorted(filesystem.glob(path)) if has_magic else [path]
        for item in found:
            info = filesystem.info(item)
            if info.get("type") == "file":
                address = _full_address(pattern, filesystem, item)
                yield address, address, info.get("size") or 0, str(filesystem.ukey(item))
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


def format_by_name(address: str) -> tuple[str | None, str | None]:
    """Find format and compression of a file by its endings."""
    endings = address.rpartition("/")[2].lower().split(".")[1:]
    compression = COMPRESSIONS.get(endings[-1]) if endings else None
    if compression is not None:
        endings.pop()
    return (format_by_ending(endings[-1]) if endings else None), compression


def _by_content(address: str) -> str | None:
    if is_address(address):
        return None
    with open(address, "rb") as stream:
        return compression_of(stream.read(_START_BYTES), None)


def _refuse_twice(sources: Sequence[tuple[str, SourceFile]]) -> None:
    seen: dict[str, SourceFile] = {}
    for real_path, file in sources:
        other = seen.setdefault(real_path, file)
        if other is not file:
            linked = "" if other.address == file.address else f" (a link to {other.address})"
            raise UserError(
                f"{file.address}{linked}: read twice, for {other.domain or 'route'!r} and for "
                f"{file.domain or 'route'!r}; use `route:` when the records name their domain"
            )
