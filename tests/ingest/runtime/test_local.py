"""Worker processes of this machine."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mixscale.contracts.shardset import read_shardset

REPOSITORY = Path(__file__).resolve().parents[3]
BUILD = """
import sys
from mixscale.ingest.build import build

if __name__ == "__main__":
    build(sys.argv[1], sys.argv[2], workers=2, progress=False)
"""
# A module of the standard library, some of others, and the package itself.
NAMES = ("selectors", "socket", "numpy", "orjson", "pyarrow", "gigatoken", "xxhash", "mixscale")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the standard library is not safe there")
def test_workers_import_nothing_from_the_current_folder(
    tmp_path: Path, write_corpus: Callable, write_lines: Callable
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in NAMES:
        trap = f"import sys\nopen({str(here / 'loaded')!r}, 'a').write({name!r})\nsys.exit(1)\n"
        (here / f"{name}.py").write_text(trap)
    write_lines("a.jsonl", [{"text": f"{n} and some words"} for n in range(50)])
    corpus = write_corpus(domains={"a": {"paths": "a.jsonl"}})
    program = tmp_path / "bin" / "program.py"
    program.parent.mkdir()
    program.write_text(BUILD)
    subprocess.run(
        [sys.executable, str(program), str(corpus), str(tmp_path / "out")],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True,
    )
    assert not (here / "loaded").exists()
    assert read_shardset(tmp_path / "out").domains["a"]["train"].documents == 50
