"""What `mixscale doctor` says of installations and machines."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from streaming.base.constant import LOCALS

from mixscale.cli.main import cli
from mixscale.doctor.commands import NEEDS
from mixscale.doctor.machine import look_at_shared_memory
from mixscale.train.data.stale_memory import FIRST_NUMBER, stale_datasets


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mixscale", "doctor", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def finding(done: subprocess.CompletedProcess[str], topic: str) -> dict[str, str]:
    return next(one for one in json.loads(done.stdout)["findings"] if one["topic"] == topic)


def test_here() -> None:
    done = doctor("--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert found["works"] is True
    assert finding(done, "packages")["state"] == "ok"
    assert {state["command"] for state in found["commands"]} == set(NEEDS)


def test_every_command_is_known() -> None:
    assert {name.split()[0] for name in NEEDS} == set(cli.commands)


def test_a_folder_for_temporary_files_that_is_none(tmp_path: Path) -> None:
    """Without a folder that can be written to, nothing works."""
    code = (
        "import sys, tempfile; tempfile.tempdir = '/proc/none'; sys.argv = ['mixscale', 'doctor']\n"
        "from mixscale.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "TMPDIR" in done.stdout
    assert "Traceback" not in done.stderr


def test_another_version_of_a_package_is_found(tmp_path: Path) -> None:
    """A folder before site-packages with other versions: of torch, and of what all need."""
    for name, version in (("torch", "1.0"), ("duckdb", "0.1")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / "METADATA").write_text(metadata)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = doctor("--json", PYTHONPATH=path)
    assert done.returncode == 1
    packages = finding(done, "packages")
    assert packages["state"] == "error"
    assert "duckdb 0.1 does not meet >=1.4" in packages["text"]
    conflict = finding(done, "conflict")
    assert "found 1.0" in conflict["text"]
    assert conflict["remedy"].startswith("pip install 'torch")


def test_a_package_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "xxhash.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = doctor("--json", PYTHONPATH=path)
    assert done.returncode == 1
    assert "killed by signal 4" in finding(done, "packages")["text"]


def test_a_cluster_that_does_not_answer() -> None:
    done = doctor("--json", RAY_ADDRESS="localhost:1")
    assert done.returncode == 0
    assert "localhost:1" in finding(done, "ray cluster")["text"]


def test_the_name_of_the_file_is_streamings() -> None:
    assert LOCALS == "locals"


def test_shared_memory_of_killed_runs(tmp_path: Path) -> None:
    """In a folder of its own: runs of others tidy up /dev/shm at any time."""
    path = tmp_path / f"{FIRST_NUMBER + 7}_locals"
    part = tmp_path / f"{FIRST_NUMBER + 7}_next_epoch"
    other = tmp_path / "000007_locals"
    for file in (path, part, other):
        file.write_bytes(b"x" * 4096)
        hour = time.time() - 3600
        os.utime(file, (hour, hour))
    assert stale_datasets(tmp_path) == [(path, [part])]
    *_, last = look_at_shared_memory(tmp_path)
    assert (last.topic, last.text) == (
        "left by killed runs",
        "shared memory of 1 datasets, 8 KiB",
    )
    with path.open("rb") as used:
        fcntl.flock(used, fcntl.LOCK_SH)
        assert stale_datasets(tmp_path) == []
        assert len(look_at_shared_memory(tmp_path)) == 1
    path.touch()
    # A dataset that is just starting has no mark yet.
    assert len(look_at_shared_memory(tmp_path)) == 1


def test_it_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['mixscale', 'doctor']\n"
        "from mixscale.cli.main import cli\n"
        "cli.main(standalone_mode=False)\n"
        "print(sorted({'torch', 'composer', 'streaming', 'ray', 'lm_eval'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
