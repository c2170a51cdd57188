"""Unit results made by hand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from mixscale.ingest.unit_rows import ROWS


def write_unit(path: Path, rows: list[tuple[int, int, int]]) -> Path:
    """Write rows of domain, text and status; equal texts have equal hashes."""
    columns = {name: [None] * len(rows) for name in ROWS.names}
    columns |= {
        "domain": [domain for domain, _, _ in rows],
        "high": [text % 3 for _, text, _ in rows],
        "low": [text << 60 for _, text, _ in rows],
        "status": [status for _, _, status in rows],
    }
    with pa.ipc.new_file(str(path), ROWS) as writer:
        # Two batches, as a unit of several blocks has.
        table = pa.table(columns, schema=ROWS)
        writer.write_table(table.slice(0, len(rows) // 2))
        writer.write_table(table.slice(len(rows) // 2))
    return path
