"""The files that the views read, by the name that stands for them in a view's SQL."""

from __future__ import annotations

from pathlib import Path

from mixscale.shards.sql.quoting import escape_glob, literal

# The temporary files of an unfinished write begin with a dot.
_SHARDSET = {
    "shardset": "shardset.json",
    "documents": "documents/*/[!.]*.parquet",
    "indexes": "*/*/index.json",
}
_RESULTS = {
    "runs": "runs/*/result.json",
    "items": "runs/*/evaluations/[!.]*.parquet",
    "sweeps": "sweeps/[!.]*.json",
    "fits": "fits/*/fit.json",
}


def file_patterns(root: Path | None, out: Path | None) -> dict[str, str]:
    """Write every file pattern as an SQL string.

    Args:
        root: Folder of the shard set; `None` for patterns relative to it.
        out: Folder with `runs/`, `sweeps/` and `fits/`; `None` for patterns relative to it.
    """
    return _in_folder(root, _SHARDSET) | _in_folder(out, _RESULTS)


def absent_files(root: Path, out: Path) -> frozenset[str]:
    """Name the file patterns that match nothing now; arguments as for `file_patterns`."""
    folders = {root: _SHARDSET, out: _RESULTS} if root != out else {root: _SHARDSET | _RESULTS}
    return frozenset(
        name
        for folder, patterns in folders.items()
        for name, pattern in patterns.items()
        if next(folder.glob(pattern), None) is None
    )


def _in_folder(folder: Path | None, patterns: dict[str, str]) -> dict[str, str]:
    prefix = f"{escape_glob(folder)}/" if folder else ""
    return {name: literal(prefix + pattern) for name, pattern in patterns.items()}
