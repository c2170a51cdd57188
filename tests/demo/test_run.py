"""The demo, shortened: its text, its settings, and all of its steps with real training."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import read_experiment
from mixscale.contracts.run_record import RESULT, RunRecord, read_record
from mixscale.contracts.sweep_record import read_sweep
from mixscale.demo.check import EQUAL, FILES, NATURAL, RECOMMENDED
from mixscale.demo.files import SEED, claim
from mixscale.demo.gather import DOMAINS, HELD_OUT, SCARCE, gather, is_gathered
from mixscale.ingest.corpus import read_corpus
from mixscale.train.config import load_run_config


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    sizes = gather(folder)
    assert list(sizes) == list(DOMAINS)
    assert sizes[SCARCE] < min(size for name, size in sizes.items() if name != SCARCE) / 5
    return folder


def records_in(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]


def test_four_domains_in_redpajamas_layout(corpus: Path) -> None:
    assert len(DOMAINS) >= 4
    for domain in DOMAINS:
        first = records_in(corpus / domain / f"{domain}.jsonl")[0]
        assert set(first) == {"text", "meta"}
        assert first["meta"]["source"] == domain
        assert not Path(first["meta"]["path"]).is_absolute()


def test_nothing_that_is_held_out_is_trained_on(corpus: Path) -> None:
    held_out = {record["text"] for record in records_in(corpus / HELD_OUT)}
    trained_on = {record["text"] for record in records_in(corpus / SCARCE / f"{SCARCE}.jsonl")}
    assert held_out
    assert trained_on
    assert not held_out & trained_on


def test_gathering_is_deterministic(corpus: Path, tmp_path: Path) -> None:
    assert is_gathered(corpus)
    assert not is_gathered(tmp_path)
    gather(tmp_path)
    names = [path.relative_to(corpus) for path in corpus.rglob("*.jsonl")]
    assert len(names) == len(DOMAINS) + 1
    for name in names:
        assert (tmp_path / name).read_bytes() == (corpus / name).read_bytes()


def test_the_settings_belong_together(tmp_path: Path) -> None:
    claim(tmp_path, SEED)
    experiment = read_experiment(tmp_path / "experiment.yaml")
    run = load_run_config(tmp_path / "run.yaml")
    streams = run.train_loader.dataset.streams
    assert set(streams) == set(DOMAINS) == {loader.label for loader in run.eval_loader}
    assert {stream.local for stream in streams.values()} == {
        str(tmp_path / "shardset" / domain) for domain in DOMAINS
    }
    assert {stream.proportion for stream in streams.values()} == {1 / len(DOMAINS)}
    assert set(read_corpus(tmp_path / "corpus.yaml").domains or {}) == set(DOMAINS)
    # The check is larger than every proxy run, and the budget that is projected to.
    samples = run.train_loader.dataset.epoch_size or 0
    (target,) = experiment.targets
    assert samples * run.max_seq_len == target.tokens
    assert run.max_duration == f"{target.tokens}tok"
    assert max(experiment.design.scales) < target.tokens
    # The large run has the proxies' model and optimizer: only size and mixture differ.
    assert experiment.run["model"] == run.model.model_dump(
        include={"name", "pretrained_model_name_or_path", "pretrained", "config_overrides"}
    )
    assert experiment.run["global_train_batch_size"] == run.global_train_batch_size
    assert experiment.run["optimizer"] == run.optimizer.model_dump()


def test_a_seed_is_that_of_all_runs(tmp_path: Path) -> None:
    claim(tmp_path, 3)
    run = load_run_config(tmp_path / "run.yaml")
    assert run.seed == run.train_loader.dataset.shuffle_seed == 3
    assert read_experiment(tmp_path / "experiment.yaml").seeds == (3,)
    with pytest.raises(UserError, match=r"other seeds than \[4\].*--seed"):
        claim(tmp_path, 4)


def shorten(out: Path) -> None:
    """Make the demo in a folder a few seconds long: its settings are the user's to change."""
    changes = {
        "experiment.yaml": (
            (r"mixtures: \d+", "mixtures: 6"),
            (r"scales: \[.*\]", "scales: [8192]"),
            (r"targets: \[.*\]", "targets: [16384]"),
            (r"tokens_per_domain: \d+", "tokens_per_domain: 2048"),
        ),
        "run.yaml": (
            (r"epoch_size: \d+", "epoch_size: 128"),
            (r"max_duration: \d+tok", "max_duration: 16384tok"),
            (r"eval_subset_num_batches: \d+", "eval_subset_num_batches: 1"),
        ),
    }
    for name, replacements in changes.items():
        text = (out / name).read_text(encoding="utf-8")
        for pattern, replacement in replacements:
            text, count = re.subn(pattern, replacement, text)
            assert count == 1, pattern
        (out / name).write_text(text, encoding="utf-8")


def demo(out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "mixscale", "demo", "--out", str(out), "--seed", "5", *options]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo that was killed when its first run had ended."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    claim(out, 5)
    shorten(out)
    process = subprocess.Popen(demo(out), stdout=subprocess.DEVNULL, start_new_session=True)
    while not list(out.glob("shardset/runs/*/result.json")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return out


@pytest.fixture(scope="module")
def finished(interrupted: Path) -> tuple[Path, str, dict[str, int]]:
    """The same folder after the same command again, what it printed, and what was there before."""
    before = {
        str(path): path.stat().st_mtime_ns
        for path in interrupted.glob("shardset/runs/*/result.json")
    }
    done = subprocess.run(demo(interrupted), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return interrupted, done.stdout, before


def test_after_a_kill_it_goes_on(finished: tuple[Path, str, dict[str, int]]) -> None:
    out, printed, before = finished
    assert before
    for path, changed in before.items():
        assert Path(path).stat().st_mtime_ns == changed
    assert f"{out / 'corpus'} is there already" in printed
    sweep = read_sweep(out / "shardset", "demo")
    assert len(runs_in(out)) == len(sweep.run_ids) + len(FILES)


def test_it_ends_with_mixture_gain_and_page(finished: tuple[Path, str, dict[str, int]]) -> None:
    _, printed, _ = finished
    mixture, gain, page = printed.rstrip("\n").split("\n")[-3:]
    shares = {name: int(share) for share, name in re.findall(r"(\d+)% (\w+)", mixture)}
    assert mixture.startswith("Mixture: ")
    assert set(shares) == set(DOMAINS)
    assert abs(sum(shares.values()) - 100) <= 2
    assert gain.startswith("Measured gain")
    assert EQUAL in gain
    assert NATURAL in gain
    # The hardest one to beat is told, too.
    assert "over only what counts" in printed
    assert Path(page.removeprefix("Page: ")).is_file()


def test_what_it_measured_is_in_the_records(finished: tuple[Path, str, dict[str, int]]) -> None:
    out, _, _ = finished
    done = subprocess.run(demo(out, "--json"), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    records = {
        name: record
        for record in runs_in(out)
        for name in FILES
        if record.run_id.startswith(f"check-{name.replace(' ', '-')}-")
    }
    assert set(records) == set(FILES) == set(found["losses"])
    weights = read_experiment(out / "experiment.yaml").objective.weights or {}
    for name, record in records.items():
        assert record.seed == 5
        assert found["losses"][name] == pytest.approx(mean(record, weights))
    for other, gain in found["gains"].items():
        low, high = found["intervals"][other]
        assert low < gain < high
        assert gain == pytest.approx(
            mean(records[other], weights) - mean(records[RECOMMENDED], weights), abs=1e-4
        )


def runs_in(out: Path) -> list[RunRecord]:
    return [read_record(path) for path in sorted(out.glob(f"shardset/runs/*/{RESULT}"))]


def mean(record: RunRecord, weights: dict[str, float]) -> float:
    total = sum(weight * record.evaluation[name].loss_nats for name, weight in weights.items())
    return total / sum(weights.values())
