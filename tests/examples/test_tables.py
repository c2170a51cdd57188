"""The tables of the quick start are those that their script writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "tables"


@pytest.mark.parametrize("name", ["mixtures.csv", "losses.csv", "runs.csv"])
def test_the_script_writes_the_table(name: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "make.py", tmp_path], check=True)
    assert (tmp_path / name).read_text() == (EXAMPLES / name).read_text()
