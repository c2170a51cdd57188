"""Text in four domains, one of them scarce, from what an installation of mixscale brings along."""

from __future__ import annotations

import ast
import email
import hashlib
import importlib.metadata
import importlib.util
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.errors import UserError

SCARCE = "docstrings"
"""The domain of which there is little."""
HELD_OUT = Path("held-out", f"{SCARCE}.jsonl")
"""Text of it that is only measured on."""

_MINIMUM_BYTES = 1_000_000
_ENOUGH_BYTES = 3_000_000
_MINIMUM_SCARCE_BYTES = 180_000
_ENOUGH_SCARCE_BYTES = 240_000
_ENOUGH_OF_A_PACKAGE = 60_000
"""Bytes of docstrings, so that no single project's templates make up the domain."""
_TRAINED_ON = 3
"""One docstring in so many is for training: little to learn from, enough to measure on."""
_LONGEST = 20_000
"""Characters; with longer documents, the tenth that is held out would be a handful of files."""
_SHORTEST_DOCSTRING = 400
_DOCUMENTED_PACKAGES = ("numpy", "networkx", "scipy", "sympy", "torch", "transformers")
"""The first ones suffice; the others stand in where one is not installed."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A document with the file it comes from, relative to where it was found."""

    text: str
    path: str


def gather(folder: Path) -> dict[str, int]:
    """Write the four domains as JSON lines, one file a domain, as RedPajama lays them out.

    Of the scarce domain two thirds go into a file of their own, to measure on. Gathering is
    deterministic: the same installation gives the same bytes.

    Returns:
        UTF-8 bytes of text by domain, what is held out included.

    Raises:
        UserError: This installation has too little text in a domain.
    """
    return {
        domain: (_write_scarce(folder, find) if domain == SCARCE else _write(folder, domain, find))
        for domain, find in DOMAINS.items()
    }


def is_gathered(folder: Path) -> bool:
    """Whether all files are there."""
    return all((folder / name).is_file() for name in (*map(_file_of, DOMAINS), HELD_OUT))


def python_source() -> Iterator[Source]:
    """Find the source code of the standard library, without its tests."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
    yield from _files(root, ("*.py",), skipped)


def docstrings() -> Iterator[Source]:
    """Find long docstrings of scientific packages, without the code, some of each package."""
    for package in _DOCUMENTED_PACKAGES:
        root, found = _package_folder(package), 0
        for source in _files(root, ("*.py",), {"tests", "test", "testing"}) if root else ():
            for name, text in _docstrings_of(source.text):
                yield Source(text=text, path=f"{source.path}:{name}")
                found += len(text.encode())
            if found >= _ENOUGH_OF_A_PACKAGE:
                break


def c_headers() -> Iterator[Source]:
    """Find the C and C++ headers of Python and PyTorch."""
    yield from _files(Path(sysconfig.get_path("include")), ("*.h",), set())
    torch = _package_folder("torch")
    if torch is not None:
        yield from _files(torch / "include", ("*.h", "*.hpp"), set())


def readmes() -> Iterator[Source]:
    """Find the descriptions and licences of all installed packages."""
    distributions = {
        str(found.metadata["Name"]).lower(): found for found in importlib.metadata.distributions()
    }
    for name, found in sorted(distributions.items()):
        metadata = email.message_from_string(found.read_text("METADATA") or "")
        description = metadata.get_payload() or metadata.get("Description")
        if isinstance(description, str) and description.strip():
            yield Source(text=description[:_LONGEST], path=f"{name}/description")
        for file in sorted(found.files or (), key=str):
            if "licen" in file.name.lower() and file.suffix in {"", ".txt", ".md", ".rst"}:
                yield from _read(Path(str(found.locate_file(file))), f"{name}/{file.name}")


DOMAINS: Mapping[str, Callable[[], Iterable[Source]]] = {
    "python": python_source,
    SCARCE: docstrings,
    "headers": c_headers,
    "readmes": readmes,
}


def _file_of(domain: str) -> Path:
    return Path(domain, f"{domain}.jsonl")


def _write(folder: Path, domain: str, find: Callable[[], Iterable[Source]]) -> int:
    sources, written = _enough(find(), _ENOUGH_BYTES)
    _check_enough(domain, written, _MINIMUM_BYTES)
    _write_lines(folder / _file_of(domain), domain, sources)
    return written


def _write_scarce(folder: Path, find: Callable[[], Iterable[Source]]) -> int:
    sources, written = _enough(find(), _ENOUGH_SCARCE_BYTES)
    _check_enough(SCARCE, written, _MINIMUM_SCARCE_BYTES)
    training = [source for source in sources if _is_trained_on(source.text)]
    held_out = [source for source in sources if not _is_trained_on(source.text)]
    _write_lines(folder / HELD_OUT, SCARCE, held_out)
    _write_lines(folder / _file_of(SCARCE), SCARCE, training)
    return written


def _is_trained_on(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % _TRAINED_ON == 0


def _enough(sources: Iterable[Source], enough_bytes: int) -> tuple[list[Source], int]:
    taken, found = [], 0
    for source in sources:
        taken.append(source)
        found += len(source.text.encode())
        if found >= enough_bytes:
            break
    return taken, found


def _check_enough(domain: str, found_bytes: int, minimum_bytes: int) -> None:
    if found_bytes < minimum_bytes:
        raise UserError(
            f"demo: only {found_bytes / 1e6:.2f} MB of text for the domain {domain!r} on this "
            f"machine, {minimum_bytes / 1e6:.2f} MB are needed; install mixscale with its "
            "dependencies into a virtual environment, with a Python that brings its standard "
            "library as source"
        )


def _write_lines(path: Path, domain: str, sources: Iterable[Source]) -> None:
    with atomic_write(path, "wb") as stream:
        for source in sources:
            record = {"text": source.text, "meta": {"source": domain, "path": source.path}}
            stream.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _files(root: Path, patterns: Iterable[str], skipped: set[str]) -> Iterator[Source]:
    found = {path for pattern in patterns for path in root.rglob(pattern)}
    for path in sorted(found):
        relative = path.relative_to(root)
        if not skipped.intersection(relative.parts):
            yield from _read(path, f"{root.name}/{relative}")


def _read(path: Path, name: str) -> Iterator[Source]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return  # not ours to repair: the next file is as good
    if text.strip() and len(text) <= _LONGEST:
        yield Source(text=text, path=name)


def _docstrings_of(code: str) -> Iterator[tuple[str, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in other people's strings
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError):
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and len(text) >= _SHORTEST_DOCSTRING:
                yield getattr(node, "name", "module"), text


def _package_folder(package: str) -> Path | None:
    # find_spec does not run the package: importing torch takes seconds.
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None
