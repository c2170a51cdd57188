"""Arrow tables of numbers and texts, made without `pyarrow.array`.

Where pandas is installed, `pyarrow.array` and `to_numpy` import it at their first call, which takes
longer than everything else that the process which gives out the tasks does for a small corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixscale.ingest.runtime.intermediate import intermediate_path

Ints = NDArray[np.int64]


def write_columns(path: Path, numbers: Mapping[str, Ints], texts: Mapping[str, list[str]]) -> None:
    """Write an Arrow file of one batch.

    Args:
        path: The file.
        numbers: Columns of whole numbers, each (rows,).
        texts: Columns of texts, each of as many.
    """
    arrays = {name: _numbers(values) for name, values in numbers.items()}
    arrays |= {name: _texts(values) for name, values in texts.items()}
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    with (
        intermediate_path(path) as temporary,
        pa.ipc.new_file(str(temporary), batch.schema) as writer,
    ):
        writer.write_batch(batch)


def _numbers(values: Ints) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(values, np.int64))
    return pa.Array.from_buffers(pa.int64(), len(values), [None, data])


def _texts(values: Iterable[str]) -> pa.Array:
    encoded = [value.encode("utf-8") for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers)
