"""The demo's text and settings; `make demo` runs all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixscale.contracts.experiment import read_experiment
from mixscale.demo.gather import DOMAINS, gather
from mixscale.demo.run import _LARGE_RUN_TOKENS, _claim
from mixscale.ingest.corpus import read_corpus
from mixscale.train.config import load_run_config


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    sizes = gather(folder)
    assert list(sizes) == list(DOMAINS)
    assert min(sizes.values()) >= 2_000_000
    return folder


def test_four_domains_in_redpajamas_layout(corpus: Path) -> None:
    assert len(DOMAINS) >= 4
    for domain in DOMAINS:
        lines = (corpus / domain / f"{domain}.jsonl").read_text(encoding="utf-8").split("\n")
        assert lines.pop() == ""
        first = json.loads(lines[0])
        assert set(first) == {"text", "meta"}
        assert first["meta"]["source"] == domain
        assert not Path(first["meta"]["path"]).is_absolute()


def test_gathering_is_deterministic(corpus: Path, tmp_path: Path) -> None:
    gather(tmp_path)
    for domain in DOMAINS:
        name = Path(domain, f"{domain}.jsonl")
        assert (tmp_path / name).read_bytes() == (corpus / name).read_bytes()


def test_the_settings_belong_together(tmp_path: Path) -> None:
    _claim(tmp_path)
    experiment = read_experiment(tmp_path / "experiment.yaml")
    run = load_run_config(tmp_path / "run.yaml")
    streams = run.train_loader.dataset.streams
    assert set(streams) == set(DOMAINS) == {loader.label for loader in run.eval_loader}
    assert {stream.local for stream in streams.values()} == {
        str(tmp_path / "shardset" / domain) for domain in DOMAINS
    }
    assert set(read_corpus(tmp_path / "corpus.yaml").domains or {}) == set(DOMAINS)
    # The check is larger than every proxy run, and one of the budgets projected to.
    samples = run.train_loader.dataset.epoch_size or 0
    assert samples * run.max_seq_len == int(run.max_duration.removesuffix("tok"))
    assert abs(samples * run.max_seq_len - _LARGE_RUN_TOKENS) < 1000
    assert _LARGE_RUN_TOKENS in [target.tokens for target in experiment.targets]
    largest_proxy = max(experiment.design.scales) * (1 + 2 / len(DOMAINS))
    assert largest_proxy < _LARGE_RUN_TOKENS
    # The large run has the proxies' model: only size and mixture differ.
    assert experiment.run["model"] == run.model.model_dump(
        include={"name", "pretrained_model_name_or_path", "pretrained", "config_overrides"}
    )
