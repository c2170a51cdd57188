"""Text in four clearly different domains, from what an installation of mixscale brings along."""

from __future__ import annotations

import ast
import email
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

_MINIMUM_BYTES = 2_000_000
_ENOUGH_BYTES = 6_000_000
_LONGEST = 100_000
"""Characters; a few generated files are megabytes of table and would drown the rest."""
_SHORTEST_DOCSTRING = 400
_DOCUMENTED_PACKAGES = ("numpy", "networkx", "scipy", "sympy", "transformers", "torch")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A document with the file it comes from, relative to where it was found."""

    text: str
    path: str


def gather(folder: Path) -> dict[str, int]:
    """Write the four domains as JSON lines, one file a domain, as RedPajama lays them out.

    Gathering is deterministic: the same installation gives the same bytes.

    Returns:
        UTF-8 bytes of text by domain.

    Raises:
        UserError: This installation has too little text in a domain.
    """
    return {domain: _write(folder, domain, find) for domain, find in DOMAINS.items()}


def python_source() -> Iterator[Source]:
    """Find the source code of the standard library, without its tests."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
    yield from _files(root, ("*.py",), skipped)


def docstrings() -> Iterator[Source]:
    """Find the long docstrings of scientific packages, without the code."""
    for package in _DOCUMENTED_PACKAGES:
        root = _package_folder(package)
        for source in _files(root, ("*.py",), {"tests", "test", "testing"}) if root else ():
            for name, text in _docstrings_of(source.text):
                yield Source(text=text, path=f"{source.path}:{name}")


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
    "docstrings": docstrings,
    "headers": c_headers,
    "readmes": readmes,
}


def _write(folder: Path, domain: str, find: Callable[[], Iterable[Source]]) -> int:
    written = 0
    with atomic_write(folder / domain / f"{domain}.jsonl", "wb") as stream:
        for source in find():
            record = {"text": source.text, "meta": {"source": domain, "path": source.path}}
            stream.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            written += len(source.text.encode())
            if written >= _ENOUGH_BYTES:
                break
    if written < _MINIMUM_BYTES:
        raise UserError(
            f"demo: only {written / 1e6:.1f} MB of text for the domain {domain!r} on this machine, "
            f"{_MINIMUM_BYTES / 1e6:.0f} MB are needed; install mixscale with its dependencies "
            "into a virtual environment, with a Python that brings its standard library as source"
        )
    return written


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
