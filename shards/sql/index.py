"""`index.duckdb`: the views of a shard set over its Parquet and JSON files."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

from mixscale.contracts.atomic import TEMPORARY_PREFIX, atomic_path
from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import ShardSet, read_shardset
from mixscale.shards.sql import statements
from mixscale.shards.sql.file_patterns import absent_files, file_patterns
from mixscale.shards.sql.json_rows import without_files
from mixscale.shards.sql.quoting import escape_glob, literal

# DuckDB 2 reads a pattern without files as a table without rows; Python 3.10 has DuckDB 1 only.
_READS_NO_FILES = int(duckdb.__version__.partition(".")[0]) >= 2
FILE_NAME = "index.duckdb"


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
            connection.execute(f"SET file_search_path = {literal(str(plain))}")
            # One transaction, because DuckDB flushes the disk at the end of each.
            connection.begin()
            connection.execute(statements.CREATE_INFO)
            connection.execute(statements.INSERT_INFO, _fingerprint(shardset))
            for _, statement in _statements(root, None, None):
                connection.execute(statement)
            for statement in (*statements.create_macros(), *statements.comments()):
                connection.execute(statement)
            connection.commit()
            # Closing would do it too, but without an error when the disk is full.
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
    """Connect to the views of a shard set, where it is now; a stale `index.duckdb` is remade.

    Args:
        folder: The shard set.
        read_only: Lock the connection: no file outside the two folders can be reached and no
            setting altered. DuckDB cannot forbid `COPY ... TO` inside a folder that it may read:
            pass other people's SQL to `mixscale.shards.sql.query`, which refuses it.
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
        lock(connection, (root, results))
    return connection


def open_views(root: Path, out: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Connect to the views of a finished shard set, with or without `index.duckdb`.

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
            connection.execute(statements.create_broken_view(name, broken))
    for statement in statements.create_macros():
        connection.execute(statement)
    return connection


def is_current(folder: str | Path) -> bool:
    """Whether `index.duckdb` is there and made for this content by this version.

    Raises:
        UserError: The folder is not a finished shard set.
    """
    root = Path(folder).resolve()
    fingerprint = _fingerprint(read_shardset(root))
    try:
        with duckdb.connect(str(root / FILE_NAME), read_only=True) as connection:
            return connection.execute(statements.SELECT_INFO).fetchone() == fingerprint
    except duckdb.Error:
        return False


def _fingerprint(shardset: ShardSet) -> tuple[str, str]:
    return statements.definitions_sha256(), shardset.content_sha256


def _statements(root: Path, here: Path | None, there: Path | None) -> Iterator[tuple[str, str]]:
    """Yield every view's name with the statement that makes it, for this version of DuckDB.

    Args:
        root: Folder of the shard set.
        here: The same, or `None` for views relative to it.
        there: Folder with `runs/`, `sweeps/` and `fits/`, or `None` for views relative to it.
    """
    absent = absent_files(root, there or root)
    patterns = file_patterns(here, there)
    has_documents = "documents" not in absent
    patterns["documents"] = (
        statements.read_documents(patterns["documents"])
        if has_documents
        else statements.no_documents()
    )
    for name, statement in statements.create_views(patterns):
        yield name, statement if _READS_NO_FILES else without_files(statement, absent)


@contextlib.contextmanager
def _without_comma(root: Path) -> Iterator[Path]:
    """Yield another name of the folder, without the commas that DuckDB splits search paths at."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "shardset"
        link.symlink_to(root, target_is_directory=True)
        yield link


def lock(connection: duckdb.DuckDBPyConnection, folders: Iterable[Path]) -> None:
    """Confine a connection to reading the folders; no query can lift this."""
    # DuckDB compares file patterns with the folders as text, before it expands them.
    names = {name for folder in folders for name in (str(folder), escape_glob(folder))}
    listed = ", ".join(literal(f"{name}/") for name in sorted(names))
    for statement in (
        f"SET allowed_directories = [{listed}]",
        "SET enable_external_access = false",
        "SET autoinstall_known_extensions = false",
        "SET python_enable_replacements = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)
