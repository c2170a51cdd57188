import subprocess
import sys

import pytest

PROGRAM = """
import sys
import pyarrow
from mixscale.ingest.runtime.spare_pandas import spare_pandas

spare_pandas()
spare_pandas()
array = pyarrow.array([1, None])
array.to_numpy(zero_copy_only=False)
assert "pandas" not in sys.modules
assert pyarrow.table({"a": array}).to_pandas().a[0] == 1
import pandas
frame = pandas.DataFrame({"x": [1.0, None], "y": ["a", None]})
rows = [{"x": 1.0, "y": "a"}, {"x": None, "y": None}]
assert pyarrow.Table.from_pandas(frame).to_pylist() == rows
assert pyarrow.array(frame.y).to_pylist() == ["a", None]
"""


def test_pandas_comes_only_when_it_is_asked_for() -> None:
    pytest.importorskip("pandas")
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
