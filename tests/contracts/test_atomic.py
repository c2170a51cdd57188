"""Files that are absent or whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mixscale.contracts.atomic import atomic_path, atomic_write, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    write_json(path, {"old": 1})

    def write_half() -> None:
        with atomic_write(path) as stream:
            stream.write("half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        write_half()
    assert path.read_text() == '{\n  "old": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_parents_are_made_and_bytes_are_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "data.bin"
    with atomic_write(path, "wb") as stream:
        stream.write(b"\r\n\x00")
    assert path.read_bytes() == b"\r\n\x00"


def test_a_writer_that_opens_the_file_itself(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "table.csv") as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("a,b\n")
    assert (tmp_path / "table.csv").read_text() == "a,b\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_killed_while_writing_the_file_is_absent(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal\n"
        "from mixscale.contracts.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as stream:\n"
        "    stream.write('x' * 100_000)\n"
        "    stream.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
