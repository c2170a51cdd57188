"""From an experiment to its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment, read_experiment
from mixscale.contracts.shardset import ShardSet, read_shardset
from mixscale.train.sweep.design import design_points
from mixscale.train.sweep.runs import plan_runs

LENGTH = 32
BASE: dict[str, Any] = {
    "name": "test",
    "shardset": ".",
    "design": {"type": "ddo", "scales": [1920, 3840]},
    "evaluation": {"tokens_per_domain": 512},
    "targets": ["1M"],
}
PRIOR = {"code": 0.5, "x": 0.5}


def experiment(**changes: Any) -> Experiment:
    return validate({**BASE, **changes}, Experiment, "test")


@pytest.fixture(scope="module")
def summary(shardset: Path) -> ShardSet:
    return read_shardset(shardset)


def test_ddo_changes_one_domain_at_a_time(summary: ShardSet) -> None:
    """1 + 2k runs a scale, as in arXiv 2407.20177."""
    runs = plan_runs(experiment(), summary)
    assert len(runs) == 2 * (1 + 2 * 3)
    base = runs[0]
    assert dict(base.samples) == {"code": 20, "prose": 20, "tables": 20}
    for run in runs[1:7]:
        changed = {name for name in base.samples if run.samples[name] != base.samples[name]}
        assert changed == {run.point.domain}
        expected = {"increased": 60, "reduced": round(20 / 3)}[run.point.role]
        assert run.samples[str(run.point.domain)] == expected
    assert len({run.name for run in runs}) == len(runs)


@pytest.mark.parametrize("changes", ["increased", "reduced"])
def test_one_direction_can_be_left_out(summary: ShardSet, changes: str) -> None:
    design = {"type": "ddo", "scales": [1920], "changes": changes}
    runs = plan_runs(experiment(design=design), summary)
    assert [run.point.role for run in runs] == ["base"] + 3 * [changes]


def test_runs_of_a_scale_differ_in_the_mixture_only(summary: ShardSet) -> None:
    base, changed = (run.config for run in plan_runs(experiment(), summary)[:2])
    ours = {"run_name", "metadata", "train_loader", "max_duration"}
    assert base.model_dump(exclude=ours) == changed.model_dump(exclude=ours)


def test_the_length_of_a_run_is_its_samples(summary: ShardSet) -> None:
    for run in plan_runs(experiment(), summary):
        total = sum(run.samples.values())
        assert run.config.max_duration == f"{total * LENGTH}tok"
        assert run.config.train_loader.dataset.epoch_size == total


def test_the_smallest_scale_is_repeated_for_noise(summary: ShardSet) -> None:
    design = {"type": "ddo", "scales": [1920, 3840], "noise_seeds": [5, 6]}
    runs = plan_runs(experiment(design=design), summary)
    assert len(runs) == 2 * 7 + 2 * 7
    assert {run.point.scale_tokens for run in runs[14:]} == {1920}
    assert [run.seed for run in runs[14:]] == [5] * 7 + [6] * 7


def test_natural_base_follows_the_sizes(summary: ShardSet) -> None:
    design = {"type": "ddo", "scales": [3840], "base": "natural"}
    base = plan_runs(experiment(design=design), summary)[0]
    assert dict(base.samples) == {"code": 67, "prose": 40, "tables": 13}


@settings(max_examples=25)
@given(count=st.integers(1, 12), concentration=st.floats(0.5, 20), seed=st.integers(0, 999))
def test_swarm_mixtures_fill_the_budget(count: int, concentration: float, seed: int) -> None:
    design = {
        "type": "swarm",
        "mixtures": count,
        "scales": [3200],
        "concentration": concentration,
    }
    points = list(design_points(experiment(design=design, seeds=[seed]), _three_domains()))
    assert len(points) == count
    for point in points:
        assert sum(point.tokens.values()) == pytest.approx(3200)
        assert min(point.tokens.values()) >= 0


def _three_domains() -> ShardSet:
    split = {
        "documents": 1, "text_bytes": 1, "tokens": 1, "samples": 100, "remainder_tokens": 0,
        "shards": 1, "shard_bytes": 1, "sha256": "",
    }  # fmt: skip
    values = {
        "mixscale_version": "0",
        "sequence_length": LENGTH,
        "tokenizer": {
            "path": "t", "vocab_size": 9, "eos_token": "e", "eos_token_id": 0, "sha256": "",
        },
        "domains": {name: {"train": split, "validation": split} for name in ("a", "b", "c")},
        "config": {},
        "versions": {},
        "content_sha256": "",
    }  # fmt: skip
    return validate(values, ShardSet, "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"design": {"type": "ddo", "scales": ["1M"]}},
            r"run 'base-1M' needs 333k tokens of 'code', but the shard set has 6\.4k, which "
            r"max_proxy_epochs: 4 stretches to 25\.6k; lower the scales",
        ),
        (
            {"evaluation": {"tokens_per_domain": "1M"}},
            r"evaluation\.tokens_per_domain: .*domain 'code' has 24 for validation",
        ),
        ({"objective": {"weights": {"cod": 1}}}, r"objective\.weights: \['cod'\] are no domains"),
        ({"constraints": {"floor": {"x": 0.1}}}, r"constraints\.floor: \['x'\] are no domains"),
        ({"constraints": {"prior": {"x": 1.0}}}, r"constraints\.prior: \['x'\] are no domains"),
        (
            {"constraints": {"groups": {"g": {"domains": ["code", "x"]}}}},
            r"constraints\.groups\.g\.domains: \['x'\] are no domains",
        ),
        ({"constraints": {"floor": 0.34}}, r"constraints: floors .* 3 domains sum to 1\.02"),
        ({"constraints": {"ceiling": 0.3}}, r"constraints: ceilings .* sum to 0\.9, less than 1"),
        (
            {"constraints": {"groups": {"g": {"domains": ["code"], "floor": 0.5}}, "ceiling": 0.4}},
            r"groups\.g: 0\.5 to 1, but its domains' own bounds leave 0 to 0\.4",
        ),
        (
            {"design": {"type": "swarm", "mixtures": 2, "scales": [1920], "prior": PRIOR}},
            r"design\.prior: \['x'\] are no domains",
        ),
        (
            {"design": {"type": "ddo", "scales": [1920], "base": {"code": 0.5, "prose": 0.5}}},
            r"design\.base: \['tables'\] have no share",
        ),
        ({"run": {"device_eval_batch_size": "x"}}, r"device_eval_batch_size: .* \(found 'x'\)"),
        ({"run": {"seed": 3}}, r"run: \['seed'\] are set by the design"),
        (
            {"design": {"type": "ddo", "scales": [64]}},
            r"takes 21 tokens of 'code': less than one sample of 32",
        ),
        ({"run": {"optimizr": {}}}, r"experiment 'test': run: optimizr: unknown key"),
    ],
)
def test_what_the_data_cannot_give_is_refused(
    summary: ShardSet, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan_runs(experiment(**changes), summary)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ["300C"]}, r"targets\.0: '300C' is not a number of tokens"),
        ({"design": {"type": "dod"}}, r"design: .*'ddo', 'swarm', 'explicit'"),
        ({"design": {"type": "ddo", "scales": [2, 1]}}, "scales must increase"),
        (
            {"design": {"type": "explicit", "scales": [9], "mixtures": {"m": {"code": 0.7}}}},
            "m: shares sum to 0.7, expected 1",
        ),
        ({"seeds": [1, 1]}, "seeds: the same value twice"),
        (
            {"design": {"type": "ddo", "scales": [9], "noise_seeds": [17]}},
            "noise_seeds: these are in `seeds` already",
        ),
    ],
)
def test_mistakes_in_the_file_are_located(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "experiment.yaml"
    with path.open("w") as stream:
        YAML().dump({**BASE, **changes}, stream)
    with pytest.raises(UserError, match=message):
        read_experiment(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"constraints": {"floor": {"code": 0.7, "prose": 0.7}}},
            "constraints: floors and fixed shares sum to 1\\.4, more than 1",
        ),
        ({"constraints": {"floor": 0.5, "ceiling": 0.4}}, "the floor 0.5 is above the ceiling 0.4"),
        (
            {"constraints": {"floor": {"code": 0.5}, "ceiling": {"code": 0.2}}},
            "constraints: code: the floor 0.5 is above the ceiling 0.2",
        ),
        ({"constraints": {"floor": 1.5}}, "floor.*less than or equal to 1"),
        ({"constraints": {"fixed": {"code": 0.6, "prose": 0.6}}}, "fixed shares sum to 1.2"),
        (
            {"constraints": {"groups": {"g": {"domains": ["a"], "floor": 0.5, "ceiling": 0.1}}}},
            "groups.g: the floor 0.5 is above",
        ),
        ({"constraints": {"groups": {"g": {"domains": ["a", "a"]}}}}, "twice"),
        ({"design": {"type": "ddo", "scales": [64], "base": {"code": 1.0}}}, "one domain alone"),
        (
            {"design": {"type": "ddo", "scales": [64], "base": {"code": 1.0, "prose": 0.0}}},
            r"design\.ddo\.base: \['prose'\] have no share",
        ),
        (
            {"design": {"type": "swarm", "mixtures": 2, "scales": [64], "prior": {"code": 1.0}}},
            "one domain alone",
        ),
    ],
)
def test_what_no_mixture_can_keep_is_refused_when_it_is_read(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "experiment.yaml"
    YAML().dump({**BASE, **changes}, path)
    with pytest.raises(UserError, match=message):
        read_experiment(path)
