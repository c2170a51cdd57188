"""Proxy runs that repeat each domain as often as the target will."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment, read_experiment
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.shardset import read_shardset
from mixscale.fit.inputs.records import runs_from_records
from mixscale.train.data.dataset import SAMPLE_ID
from mixscale.train.data.loaders import dataset_of, train_loader
from mixscale.train.output.plan import plan_table
from mixscale.train.run.model import load_tokenizer
from mixscale.train.sweep.plan import plan
from mixscale.train.sweep.runs import PlannedRun, plan_runs, runs_by_id
from mixscale.train.sweep.sweep import sweep

LENGTH = 32
TARGET = 400 * LENGTH
"""The shard set has 200, 120 and 40 samples: a run of 60 has 30, 18 and 6 of them to see."""
POOLS = {60: {"code": 30, "prose": 18, "tables": 6}, 120: {"code": 60, "prose": 36, "tables": 12}}


def write(folder: Path, shardset: Path, design: dict[str, Any] | None = None, **more: Any) -> Path:
    values = {
        "name": "repeats",
        "shardset": str(shardset),
        "out": str(folder / "out"),
        "design": {
            "type": "ddo", "scales": [60 * LENGTH, 120 * LENGTH], "repetition": "as_target",
        } | (design or {}),
        "evaluation": {"tokens_per_domain": 512},
        "targets": [TARGET],
        "run": {
            "model": {
                "name": "hf_causal_lm",
                "pretrained_model_name_or_path": "gpt2",
                "pretrained": False,
                "config_overrides": {"n_embd": 16, "n_layer": 1, "n_head": 2},
            },
            "global_train_batch_size": 8,
        },
        **more,
    }  # fmt: skip
    path = folder / "experiment.yaml"
    YAML().dump(values, path)
    return path


def read(path: Path) -> list[PlannedRun]:
    return list(runs_by_id(read_experiment(path)).values())


def samples_read(run: PlannedRun) -> dict[str, Counter[int]]:
    """How often a run's loader gives each sample, by domain; samples count from 0 in each."""
    spec = train_loader(run.config, load_tokenizer(run.config.tokenizer))
    dataset = dataset_of(spec)
    found: dict[str, Counter[int]] = {domain: Counter() for domain in dataset.domains}
    for batch in spec.dataloader:
        numbers = batch[SAMPLE_ID].numpy()
        for number, domain in zip(numbers, dataset.domain_of(numbers), strict=True):
            first = int(dataset.sample_offset_per_stream[domain])
            found[dataset.domains[domain]][int(number) - first] += 1
    dataset.stop()
    return found


def test_a_run_reads_its_pool_as_often_as_its_tokens_ask(shardset: Path, tmp_path: Path) -> None:
    pools: dict[int, dict[str, set[int]]] = {}
    for run in read(write(tmp_path, shardset)):
        scale = run.point.scale_tokens // LENGTH
        for domain, counts in samples_read(run).items():
            size = POOLS[scale][domain]
            # Streaming makes samples of proportions, and may be one off.
            assert abs(counts.total() - run.samples[domain]) <= 1
            assert len(counts) == min(size, counts.total())
            if counts.total() >= size:
                assert set(counts.values()) <= {counts.total() // size, -(-counts.total() // size)}
                same = pools.setdefault(scale, {}).setdefault(domain, set(counts))
                assert set(counts) == same, "one pool for all runs of a scale"
            else:
                assert set(counts.values()) == {1}
    for domain in ("prose", "tables"):
        assert pools[60][domain] < pools[120][domain]


@pytest.mark.parametrize("order_seed", [None, 9])
def test_a_pool_is_the_same_for_all_runs_of_an_order(
    shardset: Path, tmp_path: Path, order_seed: int | None
) -> None:
    design = {
        "type": "explicit",
        "scales": [60 * LENGTH],
        "mixtures": {
            "a": {"code": 0.2, "prose": 0.4, "tables": 0.4},
            "b": {"code": 0.0, "prose": 0.5, "tables": 0.5},
        },
    }
    path = write(tmp_path, shardset, design, seeds=[1, 2], order_seed=order_seed)
    seen = [(run.seed, set(samples_read(run)["tables"])) for run in read(path)]
    by_seed = {seed: {frozenset(ids) for s, ids in seen if s == seed} for seed in (1, 2)}
    assert {len(pools) for pools in by_seed.values()} == {1}
    assert (by_seed[1] == by_seed[2]) == (order_seed is not None)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, shardset: Path) -> list[RunRecord]:
    path = write(tmp_path_factory.mktemp("swept"), shardset)
    result = sweep(path, workers=2, gpus_per_run=0, report=lambda line: None)
    assert result.states == {"finished": 14}
    return list(result.records)


def test_the_record_says_what_each_domain_had_to_offer(swept: list[RunRecord]) -> None:
    for record in swept:
        pools = POOLS[int(record.scale_tokens or 0) // LENGTH]
        for domain, tokens in record.domains.items():
            assert tokens.pool_tokens == pools[domain] * LENGTH
            assert tokens.unique_tokens == min(tokens.seen_tokens, tokens.supply_tokens)
            assert tokens.epochs == pytest.approx(tokens.seen_tokens / tokens.supply_tokens)
            assert tokens.available_tokens == {"code": 200, "prose": 120, "tables": 40}[
                domain
            ] * LENGTH  # fmt: skip


def test_laws_see_the_pools(swept: list[RunRecord]) -> None:
    runs = runs_from_records(swept)
    assert runs.unique_tokens is not None
    for unique, scale in zip(runs.unique_tokens, runs.scale.tolist(), strict=True):
        samples = POOLS[round(scale) // LENGTH]
        assert unique.tolist() == [samples[domain] * LENGTH for domain in runs.domains]


def test_plan_compares_the_epochs_of_proxies_and_target(shardset: Path, tmp_path: Path) -> None:
    result = plan(write(tmp_path, shardset), workers=1, measure=False, gpus_per_run=0)
    base = result.rows[0]
    third = 400 / 3
    assert base.pool_tokens == {name: n * LENGTH for name, n in POOLS[60].items()}
    assert base.epochs_by_domain == pytest.approx(
        {"code": 2 / 3, "prose": 10 / 9, "tables": 10 / 3}
    )
    assert base.target_epochs_by_domain == pytest.approx(
        {"code": third / 200, "prose": third / 120, "tables": third / 40}
    )
    increased = next(
        row for row in result.rows if (row.role, row.domain) == ("increased", "tables")
    )
    assert increased.epochs_by_domain["tables"] == pytest.approx(10), "beyond max_proxy_epochs"
    text = drawn(result, tmp_path)
    assert "seen at 1.92k" in text
    assert "target 12.8k" in text
    row = [line for line in text.splitlines() if line.startswith("│ tables")][-1]
    assert row.replace("│", "").split() == [
        "tables", "192", "1.17", "to", "10", "384", "1.08", "to", "10", "1.08", "to", "10",
    ]  # fmt: skip
    assert "as the target" in text
    assert result.as_json()["runs"][0]["pool_tokens"] == base.pool_tokens


def test_plan_shows_how_the_target_repeats_where_proxies_do_not(
    shardset: Path, tmp_path: Path
) -> None:
    design = {"repetition": "none", "changes": "increased", "scales": [60 * LENGTH]}
    result = plan(write(tmp_path, shardset, design), workers=1, measure=False, gpus_per_run=0)
    row = [line for line in drawn(result, tmp_path).splitlines() if line.startswith("│ tables")][-1]
    assert row.replace("│", "").split() == [
        "tables", "1.28k", "0.5", "to", "1.5", "3.33", "to", "10",
    ]  # fmt: skip


def drawn(result: Any, folder: Path) -> str:
    console = Console(width=200, record=True, file=(folder / "page").open("w"))
    console.print(plan_table(result))
    return console.export_text()


def test_run_ids_depend_on_the_pools(shardset: Path, tmp_path: Path) -> None:
    ids = {
        str(repetition): list(
            runs_by_id(read_experiment(write(tmp_path, shardset, {"repetition": repetition})))
        )
        for repetition in ("none", "as_target", {"as_target": TARGET}, {"as_target": 2 * TARGET})
    }
    same = ids.pop("as_target")
    assert same == ids[str({"as_target": TARGET})]
    assert not set.intersection(*map(set, ids.values()))
    assert len({name for names in ids.values() for name in names}) == 3 * 14


def test_the_largest_target_counts(shardset: Path, tmp_path: Path) -> None:
    path = write(tmp_path, shardset, targets=[TARGET // 2, TARGET, 5000])
    assert {run.pools["tables"] for run in read(path) if run.pools} == {6, 12}


def test_a_scale_as_large_as_the_target_has_all_of_the_text(shardset: Path, tmp_path: Path) -> None:
    design = {"scales": [TARGET], "changes": "reduced"}
    everything = read(write(tmp_path, shardset, design))[0]
    assert everything.pools == {"code": 200, "prose": 120, "tables": 40}
    plain = {"repetition": "none", "scales": [TARGET], "changes": "reduced"}
    (tmp_path / "plain").mkdir()
    same = read(write(tmp_path / "plain", shardset, plain, max_proxy_epochs=20))[0]
    assert everything.config.run_name == same.config.run_name, "the same run"


def test_a_swarm_may_repeat_as_a_mixture_of_the_target_would(
    shardset: Path, tmp_path: Path
) -> None:
    design = {"type": "swarm", "mixtures": 20, "scales": [60 * LENGTH]}
    runs = read(write(tmp_path, shardset, design, max_proxy_epochs=0.1))
    assert len(runs) == 20


@pytest.mark.parametrize(
    ("design", "target", "message"),
    [
        (
            {"repetition": "as_target"},
            "1M",
            # Of 40 samples 1.92k of 1M tokens are 0.077; with 25k there is one.
            r"design\.repetition: at 1\.92k tokens of the target's 1M, the pool of 'tables' would "
            r"be 0\.077 of a sample: .* the smallest scale with a sample of it is 25000 tokens",
        ),
        (
            {"repetition": {"as_target": 76801}},
            TARGET,
            r"the pool of 'tables' would be 1 of a sample.* with a sample of it is 1921 tokens",
        ),
        ({"repetition": "as_target"}, 2000, r"design\.scales: 3\.84k tokens are more than the 2k"),
        ({"repetition": {"as_target": "2k"}}, TARGET, r"design\.scales: 3\.84k tokens are more"),
        ({"repetition": "target"}, TARGET, r"repetition: expected none, as_target .*'target'"),
        ({"repetition": {"as_target": -1}}, TARGET, r"repetition.*as_target"),
        ({"repetition": {"target": 1}}, TARGET, r"repetition.*target"),
        ({"repetition": True}, TARGET, r"repetition: expected none, as_target .*True"),
    ],
)
def test_what_cannot_be_is_refused(
    shardset: Path, tmp_path: Path, design: dict[str, Any], target: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan(write(tmp_path, shardset, design, targets=[target]), measure=False, gpus_per_run=0)


def test_one_sample_is_a_pool(shardset: Path, tmp_path: Path) -> None:
    path = write(tmp_path, shardset, {"repetition": {"as_target": 40 * 60 * LENGTH}})
    assert {run.pools["tables"] for run in read(path) if run.pools} == {1, 2}


def test_a_domain_that_no_mixture_takes_needs_no_pool(shardset: Path) -> None:
    design = {
        "type": "explicit",
        "scales": [1920],
        "mixtures": {"a": {"code": 0.5, "prose": 0.5}},
        "repetition": "as_target",
    }
    values = {
        "name": "x", "shardset": str(shardset), "design": design, "targets": ["200k"],
        "evaluation": {"tokens_per_domain": 512},
    }  # fmt: skip
    experiment = validate(values, Experiment, "test")
    summary = read_shardset(shardset)
    assert experiment.repeated_tokens == 200_000
    (run,) = plan_runs(experiment, summary)
    assert run.pools == {"code": 2, "prose": 1, "tables": 1}
