"""What a sweep needs, before it starts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from mixscale.contracts.errors import UserError
from mixscale.train.output.plan import plan_summary, plan_table
from mixscale.train.run.callbacks import ProgressReport
from mixscale.train.sweep.calibration import Calibration
from mixscale.train.sweep.plan import Plan, plan
from mixscale.train.sweep.sweep import sweep

SPEED = Calibration(
    parameters=1000,
    tokens_per_second=1000,
    evaluation_tokens_per_second=2000,
    start_seconds=1,
    prepare_seconds=7,
)


def write(folder: Path, shardset: Path, **changes: Any) -> Path:
    values = {
        "name": "tiny",
        "shardset": str(shardset),
        "out": str(folder / "out"),
        "design": {"type": "ddo", "scales": [1920]},
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
        **changes,
    }
    path = folder / "experiment.yaml"
    YAML().dump(values, path)
    return path


def with_speed(result: Plan, **changes: Any) -> Plan:
    return Plan(**{**vars(result), "calibration": SPEED, **changes})


def test_tokens_and_epochs_of_every_domain(shardset: Path, tmp_path: Path) -> None:
    result = plan(write(tmp_path, shardset), workers=2, measure=False)
    assert (result.seconds, result.cost, len(result.missing)) == (None, None, 7)
    increased = next(row for row in result.rows if (row.role, row.domain) == ("increased", "prose"))
    assert increased.tokens_by_domain == {"code": 640, "prose": 1920, "tables": 640}
    assert increased.epochs_by_domain["tables"] == pytest.approx(640 / (40 * 32))
    console = Console(width=140, record=True, file=(tmp_path / "page").open("w"))
    console.print(plan_table(result))
    text = console.export_text()
    assert "prose x 3" in text
    # Of tables there are 1280 tokens; the run with three times as many takes each 1.5 times.
    row = next(line for line in text.splitlines() if line.startswith("│ tables"))
    assert row.replace("│", "").split() == ["tables", "1.28k", "5.34k", "1.92k", "1.50", "4"]


def test_time_and_cost_follow_from_the_speed(shardset: Path, tmp_path: Path) -> None:
    experiment = write(tmp_path, shardset, price_per_hour=3)
    result = with_speed(plan(experiment, workers=1, measure=False))
    tokens = sum(row.tokens for row in result.rows)
    seconds = 7 + 7 * (1 + 3 * 512 / 2000) + tokens / 1000
    assert result.seconds == pytest.approx(seconds)
    assert result.device_hours == pytest.approx(seconds / 3600)
    assert result.cost == pytest.approx(3 * seconds / 3600)
    assert f"about {seconds:.0f} s" in plan_summary(result)
    assert plan_summary(result).endswith("at 3 an hour")
    on_gpus = with_speed(result, devices=4, price_per_hour=2.5)
    assert on_gpus.cost == pytest.approx(4 * 2.5 * seconds / 3600)


def test_runs_side_by_side(shardset: Path, tmp_path: Path) -> None:
    result = plan(write(tmp_path, shardset), workers=2, measure=False)
    alone = with_speed(result, workers=1).seconds
    assert alone is not None
    both = with_speed(result).seconds
    assert both is not None
    assert (alone - 7) / 2 <= both - 7 < alone - 7


def test_the_speed_is_measured_in_real_runs(shardset: Path, tmp_path: Path) -> None:
    result = plan(write(tmp_path, shardset), workers=1, price_per_hour=2.5)
    assert result.calibration is not None
    assert result.calibration.tokens_per_second > 0
    assert result.seconds is not None
    assert result.cost == pytest.approx(2.5 * result.seconds / 3600)
    assert not (tmp_path / "out" / "runs").exists(), "a plan leaves nothing"


def test_what_does_not_run_is_said_before(shardset: Path, tmp_path: Path) -> None:
    experiment = write(tmp_path, shardset)
    text = experiment.read_text().replace("n_layer: 1", f"n_layer: 1\n      n_inner: {2**44}")
    experiment.write_text(text)
    with pytest.raises(UserError, match="a short run to measure the speed: out_of_memory"):
        plan(experiment, workers=1, ignore_memory=True)


@pytest.mark.parametrize(
    ("more", "message", "quoted"),
    [
        # A bug, of a callback of one's own; and a mistake that Composer finds while it trains.
        (
            {"callbacks": {f"{ProgressReport.__module__}.ProgressReport": {
                "listener": "x", "interval_seconds": 0}}},
            "died: TypeError: 'str' object is not callable",
            "self.listener(int(state.timestamp.token))",
        ),
        (
            {"algorithms": {"gradient_clipping": {"clipping_type": "x", "clipping_threshold": 1}}},
            "clipping_type",
            "\nValueError: ",
        ),
    ],
)  # fmt: skip
def test_a_short_run_that_fails_is_quoted_as_its_log_is_gone(
    shardset: Path, tmp_path: Path, more: dict[str, Any], message: str, quoted: str
) -> None:
    model = {
        "name": "hf_causal_lm",
        "pretrained_model_name_or_path": "gpt2",
        "pretrained": False,
        "config_overrides": {"n_embd": 16, "n_layer": 1, "n_head": 2},
    }
    run = {"model": model, "global_train_batch_size": 8, **more}
    with pytest.raises(UserError) as raised:
        plan(write(tmp_path, shardset, run=run), workers=1, gpus_per_run=0)
    text = str(raised.value)
    assert message in text.splitlines()[0]
    assert quoted in text
    assert "log.txt" not in text
    assert "mixscale-plan-" not in text


def test_more_than_there_is_is_refused(shardset: Path, tmp_path: Path) -> None:
    experiment = write(tmp_path, shardset, design={"type": "ddo", "scales": ["6k"]})
    with pytest.raises(UserError, match=r"needs 6k tokens of 'tables', but .* has 1\.28k"):
        plan(experiment, measure=False)


HUGE = {
    "name": "hf_causal_lm",
    "pretrained_model_name_or_path": "gpt2",
    "pretrained": False,
    # 52 TiB of weights.
    "config_overrides": {"n_embd": 2**20, "n_layer": 1, "n_head": 2},
}


def test_the_memory_of_a_run_is_stated(shardset: Path, tmp_path: Path) -> None:
    result = plan(write(tmp_path, shardset), workers=2, measure=False, gpus_per_run=0)
    (need,) = result.memory
    assert result.runs_on_a_device == 2
    assert re.search(
        r"memory: a run of [\d.]+k parameters takes about .*weights .*gradients .*optimizer "
        r".*activations .* 8 samples of 32 tokens.*; 2 at a time .* of the machine",
        plan_summary(result),
    )
    stated = result.as_json()["memory"][0]
    assert stated["together"] == need.shared + 2 * need.run
    done = [replace(row, is_done=True) for row in result.rows]
    assert "memory" not in plan_summary(replace(result, rows=done, memory=()))


def test_what_cannot_fit_is_not_started(shardset: Path, tmp_path: Path) -> None:
    experiment = write(tmp_path, shardset, run={"model": HUGE, "global_train_batch_size": 8})
    planned = plan(experiment, workers=1, gpus_per_run=0)
    assert planned.calibration is None
    assert re.search(r"warning: memory: a run needs about .* TiB, and", plan_summary(planned))
    with pytest.raises(UserError, match=r"memory: .*a smaller model; --ignore-memory"):
        sweep(experiment, workers=1, gpus_per_run=0, report=lambda line: None)
    assert not (tmp_path / "out" / "runs").exists()


def test_what_cannot_fit_is_started_when_asked_for(shardset: Path, tmp_path: Path) -> None:
    mixtures = {"all": {"code": 0.5, "prose": 0.3, "tables": 0.2}}
    design = {"type": "explicit", "scales": [1920], "mixtures": mixtures}
    experiment = write(
        tmp_path, shardset, run={"model": HUGE, "global_train_batch_size": 8}, design=design
    )
    result = sweep(
        experiment, workers=1, gpus_per_run=0, ignore_memory=True, report=lambda line: None
    )
    assert result.states == {"out_of_memory": 1}


def test_a_model_that_cannot_be_made_is_refused_before_the_first_run(
    shardset: Path, tmp_path: Path
) -> None:
    model = {
        "name": "hf_causal_lm",
        "pretrained_model_name_or_path": "gpt2",
        "pretrained": False,
        "config_overrides": {"n_embd": 16, "n_layer": 1, "n_head": 3},
    }
    with pytest.raises(UserError, match=r"model: .*embed_dim.* must be divisible by num_heads"):
        plan(write(tmp_path, shardset, run={"model": model}), workers=1, measure=False)
