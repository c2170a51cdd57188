"""Files in the current folder that are called as our modules, or as libraries, change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mixscale.contracts.run_record import read_record

CHECKOUT = Path(__file__).resolve().parents[3]
NAMES = (
    "train", "fit", "shards", "contracts", "ingest", "demo", "executors", "config", "local",
    "streaming", "composer", "torch", "transformers", "datasets", "numpy", "filelock",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files that raise when they are imported."""
    for name in NAMES:
        text = f"raise RuntimeError('the user\\'s {name}.py was imported')\n"
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_files_would_be_imported_by_a_plain_interpreter(folder: Path) -> None:
    done = run([sys.executable, "-c", "import torch"], folder)
    assert "the user's torch.py was imported" in done.stderr


def test_a_sweep(folder: Path, shardset: Path) -> None:
    mixtures = {"more": {"code": 0.5, "prose": 0.5}, "less": {"code": 0.25, "prose": 0.75}}
    experiment = {
        "name": "tiny",
        "shardset": str(shardset),
        "out": "out",
        "design": {"type": "explicit", "scales": [1920], "mixtures": mixtures},
        "evaluation": {"tokens_per_domain": 512},
        "targets": ["100k"],
        "run": {
            "model": {
                "name": "hf_causal_lm",
                "pretrained_model_name_or_path": "gpt2",
                "pretrained": False,
                "config_overrides": {"n_embd": 16, "n_layer": 1, "n_head": 2},
            },
            "global_train_batch_size": 8,
        },
    }
    YAML().dump(experiment, folder / "experiment.yaml")
    # As the installed command does it, whose own folder comes first on its path, not ours.
    (folder / "bin").mkdir()
    script = folder / "bin" / "mixscale"
    script.write_text(
        "from mixscale.cli.main import main\nif __name__ == '__main__':\n    main()\n"
    )
    command = [sys.executable, str(script), "sweep", "experiment.yaml", "--workers", "2"]
    done = run(command, folder)
    assert done.returncode == 0, done.stderr
    records = [read_record(path) for path in (folder / "out" / "runs").glob("*/result.json")]
    assert {record.mixture: record.status for record in records} == {
        "more": "finished",
        "less": "finished",
    }
    logs = [path.read_text() for path in (folder / "out" / "runs").glob("*/log.txt")]
    assert len(logs) == 2
    assert not any("was imported" in log for log in logs)


def test_the_fork_server_has_loaded_composer_before_the_first_run(folder: Path) -> None:
    """Were its import refused, every run would load Composer anew, and nobody would be told."""
    (folder / "bin").mkdir()
    script = folder / "bin" / "script"
    script.write_text(
        """
import os, sys

def loaded(connection):
    entries = [path for path in sys.path if path in ("", os.getcwd())]
    names = ("PYTHONPATH", "PYTHONSAFEPATH")
    connection.send(("composer" in sys.modules, entries, [os.environ.get(name) for name in names]))

if __name__ == "__main__":
    from multiprocessing import Pipe
    from mixscale.train.executors.process import fork_server
    ours, theirs = Pipe()
    process = fork_server().Process(target=loaded, args=(theirs,))
    process.start()
    print(*ours.recv()[:2], os.environ["PYTHONPATH"], os.environ.get("PYTHONSAFEPATH"))
    process.join()
"""
    )
    done = run([sys.executable, str(script)], folder)
    assert done.stdout.split() == ["True", "[]", str(CHECKOUT), "None"], done.stderr


def test_an_older_fork_server_ends_though_a_forked_process_holds_its_pipe(folder: Path) -> None:
    # As a build's does, when a data loader's workers outlive it.
    script = folder / "script.py"
    script.write_text(
        """
import multiprocessing, os, signal, time
from multiprocessing import forkserver

if __name__ == "__main__":
    multiprocessing.get_context("forkserver").set_forkserver_preload([])
    forkserver.ensure_running()
    child = os.fork()
    if not child:
        time.sleep(600)
        os._exit(0)
    try:
        from mixscale.train.executors.process import fork_server
        fork_server()
        print("started")
    finally:
        os.kill(child, signal.SIGKILL)
"""
    )
    done = run([sys.executable, str(script)], folder)
    assert done.stdout.split() == ["started"], done.stderr


def test_two_devices(folder: Path, run_values: dict[str, Any]) -> None:
    YAML().dump(run_values, folder / "run.yaml")
    launcher = str(Path(sys.executable).with_name("composer"))
    done = run([launcher, "-n", "2", "-m", "mixscale.train", "run.yaml"], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = folder.glob("runs/*/result.json")
    record = read_record(result)
    assert (record.status, record.seen_tokens) == ("finished", 80 * 32)
