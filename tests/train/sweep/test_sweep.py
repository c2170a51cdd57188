"""Sweeps: parallel, resumable, the same records whatever happens on the way."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import read_experiment
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.sweep_record import read_sweep, sweep_records
from mixscale.train.output.sweep import sweep_answer, sweep_summary
from mixscale.train.sweep.runs import runs_by_id
from mixscale.train.sweep.sweep import sweep

EXPERIMENT = """\
name: tiny
shardset: {shardset}
out: {out}
design:
  type: ddo
  scales: [1920, 3840]
evaluation:
  tokens_per_domain: 512
targets: [100k]
run:
  model:
    name: hf_causal_lm
    pretrained_model_name_or_path: gpt2
    pretrained: false
    config_overrides: {{n_embd: 16, n_layer: 1, n_head: 2}}
  optimizer: {{name: decoupled_adamw, lr: {rate}}}
  global_train_batch_size: 8
"""
COMMAND = [sys.executable, "-m", "mixscale", "sweep"]


def write(folder: Path, shardset: Path, rate: float = 0.01) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "experiment.yaml"
    path.write_text(EXPERIMENT.format(shardset=shardset, out=folder / "out", rate=rate))
    return path


def results(folder: Path) -> list[RunRecord]:
    return list(sweep_records(folder / "out", "tiny"))


def outcome(record: RunRecord) -> dict[str, object]:
    """Everything but times."""
    clocks = {"seconds", "train_seconds", "tokens_per_second", "started"}
    return record.model_dump(exclude=clocks)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shardset: Path) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run([*COMMAND, str(write(folder, shardset)), "--workers", "2"], check=True)
    return folder


def test_every_run_has_its_record(undisturbed: Path) -> None:
    records = results(undisturbed)
    assert [record.run_id for record in records] == list(
        read_sweep(undisturbed / "out", "tiny").run_ids
    )
    assert len(records) == 14
    assert {record.status for record in records} == {"finished"}
    base = records[0]
    assert (base.role, base.scale_tokens, base.seen_tokens) == ("base", 1920, 1920)
    increased = next(record for record in records if record.role == "increased")
    assert increased.domains[str(increased.domain)].seen_tokens == 3 * 640


def test_nothing_is_run_twice(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (undisturbed / "out").rglob("result.json")}
    done = subprocess.run(
        [*COMMAND, str(undisturbed / "experiment.yaml")], capture_output=True, text=True, check=True
    )
    assert "14 of 14 runs have their record already" in done.stderr
    assert before == {
        path: path.stat().st_mtime_ns for path in (undisturbed / "out").rglob("result.json")
    }


def test_killed_at_any_moment_it_ends_with_the_same_records(
    undisturbed: Path, shardset: Path, tmp_path: Path
) -> None:
    experiment = write(tmp_path, shardset)
    command = [*COMMAND, str(experiment), "--workers", "2"]
    process = subprocess.Popen(command, start_new_session=True)
    _wait_for_results(tmp_path, 3)
    process.kill()
    process.wait()
    assert _runs_stop(tmp_path), "the runs of a dead sweep must end"
    # One record gone, one folder half-written: both are run again.
    finished = sorted((tmp_path / "out" / "runs").glob("*/result.json"))
    finished[0].unlink()
    shutil.rmtree(finished[1].parent)
    subprocess.run([*COMMAND, str(experiment), "--workers", "2"], check=True)
    ours, theirs = results(tmp_path), results(undisturbed)
    assert [outcome(record) for record in ours] == [outcome(record) for record in theirs]


def test_a_killed_run_is_tried_again(shardset: Path, tmp_path: Path) -> None:
    experiment = write(tmp_path, shardset, rate=0.02)
    process = subprocess.Popen(
        [*COMMAND, str(experiment), "--workers", "1"], stderr=subprocess.PIPE, text=True
    )
    _kill_one_run(tmp_path)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    assert "killed by SIGKILL" in errors
    assert len(results(tmp_path)) == 14


def test_diverged_runs_do_not_stop_the_others(shardset: Path, tmp_path: Path) -> None:
    experiment = write(tmp_path, shardset, rate=1e30)
    text = experiment.read_text() + "  algorithms: {}\n"
    experiment.write_text(text.replace("scales: [1920, 3840]", "scales: [1920]"))
    done = subprocess.run([*COMMAND, str(experiment)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "7 diverged" in done.stdout
    assert "7 would end the same way again" in done.stdout
    assert {record.status for record in results(tmp_path)} == {"diverged"}


def test_runs_that_fail_say_how_and_are_tried_again(shardset: Path, tmp_path: Path) -> None:
    """A missing shard, a killed run: the others finish, and later these do."""
    data = tmp_path / "shardset"
    shutil.copytree(shardset, data)
    experiment = write(tmp_path, data)
    mixtures = {
        "some": {"code": 0.5, "prose": 0.3, "tables": 0.2},
        "most": {"code": 0.3, "prose": 0.1, "tables": 0.6},
        "none": {"code": 0.5, "prose": 0.5},
    }
    design = f"  type: explicit\n  scales: [3840]\n  mixtures: {mixtures}\n"
    text = experiment.read_text().replace("  type: ddo\n  scales: [1920, 3840]\n", design)
    experiment.write_text(text)
    (shard,) = (data / "tables" / "train").glob("*.mds")
    shard.rename(tmp_path / "elsewhere.mds")
    killer = threading.Thread(target=_kill_one_run, args=(tmp_path, "none"))
    killer.start()
    lines: list[str] = []
    result = sweep(experiment, workers=2, retries=0, report=lines.append)
    killer.join()
    states = {record.mixture: record.status for record in result.records}
    assert states == {"some": "data_error", "most": "data_error", "none": "died"}
    assert [record.status for record in results(tmp_path)] == list(states.values())
    summary = sweep_summary(result)
    assert re.search(r"domain 'tables': cannot read .*tables/train/shard", summary)
    assert "died: killed by SIGKILL" in summary
    assert "2 data_error, 1 died; records in" in summary
    assert sum("data_error: domain 'tables': cannot read" in line for line in lines) == 2

    answer = list(sweep_answer(result, "experiment.yaml"))
    assert answer[0] == "Not complete: 3 of 3 runs left no result (2 data_error, 1 died)."
    assert sum("died: killed by SIGKILL" in line for line in answer) == 1
    assert any(line.startswith("Next: mixscale sweep experiment.yaml (") for line in answer)
    assert not any("mixscale fit" in line for line in answer)

    (tmp_path / "elsewhere.mds").rename(shard)
    after = sweep(experiment, workers=2, report=lines.append)
    assert after.states == {"finished": 3}
    assert list(sweep_answer(after, "experiment.yaml"))[:2] == [
        "Done: all 3 runs have their result; 11.5k tokens in all.",
        "Next: mixscale fit experiment.yaml",
    ]


def test_a_model_too_large_for_the_memory(shardset: Path, tmp_path: Path) -> None:
    experiment = write(tmp_path, shardset)
    text = experiment.read_text().replace("scales: [1920, 3840]", "scales: [1920]")
    # A petabyte of weights in one layer.
    experiment.write_text(text.replace("n_layer: 1", f"n_layer: 1, n_inner: {2**44}"))
    result = sweep(experiment, workers=2, report=lambda line: None, ignore_memory=True)
    assert result.states == {"out_of_memory": 7}
    assert "a smaller one computes the same in less memory" in str(result.records[0].error)


def test_two_sweeps_at_once_are_refused(shardset: Path, tmp_path: Path) -> None:
    experiment = write(tmp_path, shardset)
    (tmp_path / "out" / "sweeps").mkdir(parents=True)
    with (
        FileLock(tmp_path / "out" / "sweeps" / ".tiny.lock"),
        pytest.raises(UserError, match="already running in another process"),
    ):
        sweep(experiment)


def test_run_ids_depend_on_the_recipe(shardset: Path, tmp_path: Path) -> None:
    one = runs_by_id(read_experiment(write(tmp_path / "a", shardset)))
    two = runs_by_id(read_experiment(write(tmp_path / "b", shardset, rate=0.02)))
    assert not set(one) & set(two)
    assert list(one) == list(runs_by_id(read_experiment(write(tmp_path / "c", shardset))))


def _wait_for_results(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        if len(list(folder.glob("out/runs/*/result.json"))) >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"no {count} results in time")


def _working_on(folder: Path, name: str = "") -> list[int]:
    """Find the processes that write the log of a run below `folder` whose name holds `name`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            target = os.readlink(process / "fd" / "1")
        except OSError:
            continue
        if target.startswith(str(folder)) and name in target and target.endswith("log.txt"):
            found.append(int(process.name))
    return found


def _kill_one_run(folder: Path, name: str = "") -> None:
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        for number in _working_on(folder, name):
            os.kill(number, signal.SIGKILL)
            return
        time.sleep(0.01)
    pytest.fail("no run started in time")


def _runs_stop(folder: Path) -> bool:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if not _working_on(folder):
            return True
        time.sleep(0.1)
    return False
