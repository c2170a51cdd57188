"""Several sizes of model in one experiment."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import read_experiment
from mixscale.fit.inputs.records import runs_from_records
from mixscale.train.output.plan import plan_summary, plan_table
from mixscale.train.sweep.plan import plan
from mixscale.train.sweep.runs import PlannedRun, runs_by_id
from mixscale.train.sweep.sweep import sweep

SMALL = {"config_overrides": {"n_embd": 16}}
LARGE = {"config_overrides": {"n_embd": 64, "n_layer": 2}}
MODELS = {"small": SMALL, "large": LARGE}


def write(folder: Path, shardset: Path, models: dict[str, Any], **more: Any) -> Path:
    values = {
        "name": "sizes",
        "shardset": str(shardset),
        "out": str(folder / "out"),
        "design": {"type": "ddo", "scales": [1920, 3840], "changes": "increased"},
        "evaluation": {"tokens_per_domain": 512},
        "targets": ["100k"],
        "models": models,
        "run": {
            "model": {
                "name": "hf_causal_lm",
                "pretrained_model_name_or_path": "gpt2",
                "pretrained": False,
                "config_overrides": {"n_layer": 1, "n_head": 2, "initializer_range": 0.1},
            },
            "optimizer": {"name": "decoupled_adamw", "lr": 0.01, "weight_decay": 0.0},
            "global_train_batch_size": 8,
        },
        **more,
    }
    path = folder / "experiment.yaml"
    YAML().dump(values, path)
    return path


def read(path: Path) -> list[PlannedRun]:
    return list(runs_by_id(read_experiment(path)).values())


def test_every_run_is_done_with_each_size(shardset: Path, tmp_path: Path) -> None:
    runs = read(write(tmp_path, shardset, MODELS, seeds=[1, 2]))
    assert len(runs) == 2 * 2 * 2 * 4
    small, large = (
        [(run.point, run.seed, dict(run.samples)) for run in runs if run.size == size]
        for size in ("small", "large")
    )
    assert small == large
    assert len({run.config.run_name for run in runs}) == len(runs)
    streams = {
        size: [run.config.train_loader for run in runs if run.size == size] for size in MODELS
    }
    assert streams["small"] == streams["large"], "the same samples in the same order"


def test_rate_and_initialisation_follow_the_width(shardset: Path, tmp_path: Path) -> None:
    by_size = {run.size: run.config for run in read(write(tmp_path, shardset, MODELS))}
    small, large = by_size["small"], by_size["large"]
    assert small.optimizer.arguments["lr"] == pytest.approx(0.01)
    assert large.optimizer.arguments["lr"] == pytest.approx(0.0025), "four times as wide"
    assert large.optimizer.arguments["weight_decay"] == 0
    assert small.model.config_overrides == {
        "n_layer": 1, "n_head": 2, "n_embd": 16, "initializer_range": pytest.approx(0.1),
    }  # fmt: skip
    assert large.model.config_overrides == {
        "n_layer": 2, "n_head": 2, "n_embd": 64, "initializer_range": pytest.approx(0.05),
    }  # fmt: skip


def test_what_a_size_gives_is_taken(shardset: Path, tmp_path: Path) -> None:
    large = {**LARGE, "lr": 0.004, "init": 0.03, "scales": [1920], "attn_implementation": "eager"}
    run = {"model": {"name": "hf_causal_lm", "pretrained_model_name_or_path": "gpt2",
                     "pretrained": False, "config_overrides": {"n_head": 2}}}  # fmt: skip
    path = write(
        tmp_path, shardset, {"small": SMALL, "large": large}, run=run,
        design={"type": "ddo", "scales": [1920, 3840], "noise_seeds": [5]},
    )  # fmt: skip
    runs = read(path)
    (config, *_) = [run.config for run in runs if run.size == "large"]
    assert config.optimizer.arguments["lr"] == 0.004
    assert config.model.config_overrides["initializer_range"] == 0.03
    assert config.model.attn_implementation == "eager"
    assert {run.point.scale_tokens for run in runs if run.size == "large"} == {1920}
    (plain, *_) = [run.config for run in runs if run.size == "small"]
    assert plain.optimizer.arguments["lr"] == pytest.approx(1e-3), "the default of run.yaml"
    assert plain.model.config_overrides["initializer_range"] == pytest.approx(0.02)
    assert len(runs) == (14 + 7) + (7 + 7)


def test_another_type_of_model_starts_from_its_own_overrides(
    shardset: Path, tmp_path: Path
) -> None:
    llama = {
        "pretrained_model_name_or_path": "llama",
        "config_overrides": {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
    }  # fmt: skip
    config = {
        run.size: run.config for run in read(write(tmp_path, shardset, {**MODELS, "l": llama}))
    }["l"]
    assert "n_layer" not in config.model.config_overrides
    assert config.optimizer.arguments["lr"] == pytest.approx(0.005)
    assert config.model.config_overrides["initializer_range"] == pytest.approx(0.02 / math.sqrt(2))


def test_records_and_fits_know_the_sizes(shardset: Path, tmp_path: Path) -> None:
    path = write(tmp_path, shardset, MODELS, design={"type": "ddo", "scales": [1920]})
    result = sweep(path, workers=2, gpus_per_run=0, report=lambda line: None)
    assert result.states == {"finished": 14}
    sizes = runs_from_records(result.records).sizes
    # 64 words and 32 places of the width, a layer of 12 w^2 + 13 w, the last norm.
    width = 16
    assert result.records[0].parameters == 96 * width + 12 * width**2 + 13 * width + 2 * width
    assert len(sizes) == 2
    assert sizes[1] / sizes[0] == pytest.approx(32, rel=0.1)


def test_plan_prices_each_size(shardset: Path, tmp_path: Path) -> None:
    design = {"type": "ddo", "scales": [1920], "changes": "reduced"}
    result = plan(
        write(tmp_path, shardset, MODELS, design=design, price_per_hour=2),
        workers=1, gpus_per_run=0,
    )  # fmt: skip
    small, large = (result.calibrations[name] for name in ("small", "large"))
    assert small.parameters < large.parameters
    hours = result.device_hours_by_model
    assert result.device_hours == pytest.approx(
        sum(hours.values()) + result.calibrations["small"].prepare_seconds / 3600
    )
    expected = sum(
        large.run_seconds(row.tokens, result.evaluation_tokens)
        for row in result.rows
        if row.model == "large"
    )
    assert hours["large"] == pytest.approx(expected / 3600)
    said = plan_summary(result)
    assert f"a run of large, {large.parameters / 1000:.3g}k parameters" in said
    assert f"{hours['large'] * 2:.2f} at 2 an hour" in said
    assert len(result.memory) == 2
    console = Console(width=200, record=True, file=(tmp_path / "page").open("w"))
    console.print(plan_table(result))
    assert "│ large" in console.export_text()


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"a": {"lr": 1}, "b": LARGE}, r"models\.a: its width is not given .*`init` of 'a'"),
        ({"a": {"lr": 0, **SMALL}}, r"models\.a\.lr"),
        ({"a": {"lr": "fast", **SMALL}}, r"models\.a\.lr"),
        ({"a": {"config_overrides": {"n_embd": 16, "n_layr": 1}}}, "n_layr"),
        ({"a": {"sizes": 3, **SMALL}}, "sizes"),
        ({"a": {"scales": ["1k"], **SMALL}}, r"models\.a\.scales: \[1000\] are no scales"),
        ({"a b": SMALL}, "models"),
        ({"a": None}, r"models\.a"),
    ],
)
def test_what_cannot_be_is_refused(
    shardset: Path, tmp_path: Path, models: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan(write(tmp_path, shardset, models), measure=False, gpus_per_run=0)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"model": "gpt2"}, r"run\.model: expected keys and values \(found 'gpt2'\)"),
        ({"optimizer": "adam"}, r"run\.optimizer: expected keys and values"),
        ({"optimizer": {"name": "adam"}}, r"models\.small: give `lr`, or `run\.optimizer\.lr`"),
        ({"optimizer": {"name": "adam", "lr": "fast"}}, r"models\.small: give `lr`"),
        ({"model": {"config_overrides": 3}}, r"run\.model\.config_overrides: expected keys"),
        (
            {"model": {"config_overrides": {"initializer_range": "wide"}}},
            r"initializer_range: expected a number \(found 'wide'\)",
        ),
        ({"model": {"config_overrides": {"n_layer": "two"}}}, r"model"),
    ],
)
def test_a_wrong_run_is_refused(
    shardset: Path, tmp_path: Path, run: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan(write(tmp_path, shardset, MODELS, run=run), measure=False, gpus_per_run=0)


def test_a_run_without_a_model_takes_the_default(shardset: Path, tmp_path: Path) -> None:
    runs = read(write(tmp_path, shardset, MODELS, run={"model": None}))
    assert {run.config.model.pretrained_model_name_or_path for run in runs} == {"gpt2"}
