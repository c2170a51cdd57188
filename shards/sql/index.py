"""The DuckDB index of a shard set: views over its Parquet and JSON files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb

from mixscale.contracts.atomic import TEMPORARY_PREFIX, atomic_path
from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import ShardSet, read_shardset
from mixscale.shards.sql import views

# DuckDB 2 reads a pattern without files as a table without rows; Python 3.10 has DuckDB 1 only.
_READS_NO_FILES = int(duckdb.__version__.partition(".")[0]) >= 2
FILE_NAME = "index.duckdb"


class SamplePart(NamedTuple):
    """A document, or a part of one, inside a sample."""

    doc_id: str
    source_file: str
    source_row: int
    from_offset: int
    """First token of the part, counted in the sample from 0."""
    to_offset: int
    """One past its last token."""
    from_token: int
    """The same first token, counted in the document from 0."""
    tokens: int
    document_tokens: int


class DocumentPart(NamedTuple):
    """The part of a document that one sample of a stream holds."""

    domain: str
    split: str
    sample: int
    from_offset: int
    """First token of the part, counted in the sample from 0."""
    to_offset: int
    """One past its last token."""
    from_token: int
    """The same first token, counted in the document from 0."""
    path: str | None
    """Shard file, relative to the shard set; `None` in the remainder, which no shard holds."""
    sample_in_shard: int | None


def rebuild_index(folder: str | Path) -> Path:
    """Write `index.duckdb` anew, atomically.

    Its views name files relative to the shard set, so that the folder can be moved: any DuckDB
    reads them when started in the folder.

    Raises:
        UserError: The folder is not a finished shard set, or cannot be written to.
    """
    root = Path(folder).resolve()
    shardset = read_shardset(root)
    try:
        with (
            atomic_path(root / FILE_NAME) as temporary,
            _without_comma(root) as plain,
            duckdb.connect(str(temporary)) as connection,
        ):
            connection.execute(f"SET file_search_path = {views.literal(str(plain))}")
            # One transaction, because DuckDB flushes the disk at the end of each.
            connection.begin()
            connection.execute(views.CREATE_INFO)
            connection.execute(views.INSERT_INFO, _fingerprint(shardset))
            for _, statement in _statements(root, None, None):
                connection.execute(statement)
            for statement in (*views.create_macros(), *views.comments()):
                connection.execute(statement)
            connection.commit()
            # Closing would do it too, but keep silent when the disk is full.
            connection.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise UserError(f"{root / FILE_NAME}: cannot write: {error}") from error
    finally:
        for log in root.glob(f"{TEMPORARY_PREFIX}*-{FILE_NAME}.wal"):
            log.unlink(missing_ok=True)
    return root / FILE_NAME


def open_index(
    folder: str | Path, *, read_only: bool = True, out: str | Path | None = None
) -> duckdb.DuckDBPyConnection:
    """Connect to the views of a shard set, where it lies now; a stale `index.duckdb` is remade.

    Args:
        folder: The shard set.
        read_only: Lock the connection: no file outside the two folders can be reached and no
            setting altered. DuckDB cannot forbid `COPY ... TO` inside a folder that it may read:
            pass other people's SQL through `mixscale.shards.sql.query`, which does.
        out: Folder with `runs/`, `sweeps/` and `fits/`; the shard set's own when absent.

    Raises:
        UserError: The folder is not a finished shard set.
    """
    root = Path(folder).resolve()
    results = Path(out).resolve() if out is not None else root
    if not is_current(root):
        # A shard set on a disk that cannot be written to is still there to be read.
        with contextlib.suppress(OSError, UserError):
            rebuild_index(root)
    connection = open_views(root, results)
    if read_only:
        _lock(connection, (root, results))
    return connection


def open_views(root: Path, out: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Connect to the views of a finished shard set, whatever has become of `index.duckdb`.

    A damaged file breaks the views that read it, and only them.
    """
    spill = Path(tempfile.gettempdir()) / f"mixscale-sql-{os.getpid()}"
    # In memory, because DuckDB shares one instance, settings included, between all connections
    # of a process to a file, and because the stored views are relative to the working folder.
    connection = duckdb.connect(":memory:", config={"temp_directory": str(spill)})
    root = root.resolve()
    broken = ""
    for name, statement in _statements(root, root, out or root):
        try:
            connection.execute(statement)
        except duckdb.Error as error:
            # The views made of a broken one are broken for the same reason.
            broken = broken or str(error).splitlines()[0]
            connection.execute(views.create_broken_view(name, broken))
    for statement in views.create_macros():
        connection.execute(statement)
    return connection


def is_current(folder: str | Path) -> bool:
    """Tell whether `index.duckdb` is there and made for this content by this version.

    Raises:
        UserError: The folder is not a finished shard set.
    """
    root = Path(folder).resolve()
    fingerprint = _fingerprint(read_shardset(root))
    try:
        with duckdb.connect(str(root / FILE_NAME), read_only=True) as connection:
            return connection.execute(views.SELECT_INFO).fetchone() == fingerprint
    except duckdb.Error:
        return False


def documents_in_sample(
    connection: duckdb.DuckDBPyConnection, domain: str, split: str, sample: int
) -> list[SamplePart]:
    """List what one sample of a stream is made of, in order; nothing when there is no such sample.

    The remainder of a stream has the number after its last sample.
    """
    rows = connection.execute(views.DOCUMENTS_IN_SAMPLE, [domain, split, sample]).fetchall()
    return [SamplePart(*row) for row in rows]


def samples_of_document(connection: duckdb.DuckDBPyConnection, doc_id: str) -> list[DocumentPart]:
    """List the samples that hold a document, in order; nothing when it is not kept."""
    rows = connection.execute(views.SAMPLES_OF_DOCUMENT, [doc_id]).fetchall()
    return [DocumentPart(*row) for row in rows]


def _fingerprint(shardset: ShardSet) -> tuple[int, str]:
    return views.VERSION, shardset.content_sha256


def _statements(root: Path, here: Path | None, there: Path | None) -> Iterator[tuple[str, str]]:
    """Yield every view's name with the statement that makes it, in the words of this DuckDB."""
    absent = [] if _READS_NO_FILES else _absent(root, there or root)
    for name, statement in views.create_views(_patterns(root, here, there)):
        yield name, statement if _READS_NO_FILES else views.without_files(statement, absent)


def _absent(root: Path, results: Path) -> list[str]:
    """List the file patterns of the views that match nothing now."""
    globs = {
        "indexes": root.glob("*/*/index.json"),
        "runs": results.glob("runs/*/result.json"),
        "sweeps": results.glob("sweeps/[!.]*.json"),
        "fits": results.glob("fits/*/fit.json"),
    }
    return [name for name, found in globs.items() if next(found, None) is None]


def _patterns(root: Path, here: Path | None, there: Path | None) -> dict[str, str]:
    patterns = views.file_patterns(here, there)
    if next(root.glob("documents/*/[!.]*.parquet"), None) is None:
        patterns["documents"] = views.no_documents()
    return patterns


@contextlib.contextmanager
def _without_comma(root: Path) -> Iterator[Path]:
    """Yield another name of the folder, without the commas that DuckDB splits search paths at."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "shardset"
        link.symlink_to(root, target_is_directory=True)
        yield link


def _lock(connection: duckdb.DuckDBPyConnection, folders: Iterable[Path]) -> None:
    """Confine a connection to reading the folders, for good."""
    # DuckDB compares file patterns with the folders as text, before it expands them.
    names = {name for folder in folders for name in (str(folder), views.escape_glob(folder))}
    listed = ", ".join(views.literal(f"{name}/") for name in sorted(names))
    for statement in (
        f"SET allowed_directories = [{listed}]",
        "SET enable_external_access = false",
        "SET autoinstall_known_extensions = false",
        "SET python_enable_replacements = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)
