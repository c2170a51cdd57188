"""The memory that a run is expected to need."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig, write_run_config
from mixscale.train.run.components import build_optimizer
from mixscale.train.run.memory import (
    MemoryNeed,
    check_fits,
    format_bytes,
    memory_of_machine,
    parts,
)
from mixscale.train.run.memory_trace import Tracker, trace_memory
from mixscale.train.run.model import load_tokenizer, model_config, transformers_model

GIB = 2**30
MODELS = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 2},
    "llama": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    },
    "gpt_neox": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
}  # fmt: skip


def config_of(values: dict[str, Any], kind: str, sizes: dict[str, Any], **more: Any) -> RunConfig:
    model = values["model"] | {"pretrained_model_name_or_path": kind, "config_overrides": sizes}
    return validate(values | {"model": model} | more, RunConfig, "test")


def need_of(config: RunConfig) -> MemoryNeed:
    need = trace_memory(config, load_tokenizer(config.tokenizer), on_gpu=False)
    assert need is not None
    return need


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "decoupled_adamw", "lr": 0.01},
        {"name": "lion", "lr": 0.01},
        {"name": "sgd", "lr": 0.01},
    ],
    ids=lambda optimizer: optimizer["name"],
)
def test_what_stays_is_what_a_real_step_leaves(
    run_values: dict[str, Any], kind: str, optimizer: dict[str, Any]
) -> None:
    config = config_of(run_values, kind, MODELS[kind], optimizer=optimizer)
    need = need_of(config)
    tokenizer = load_tokenizer(config.tokenizer)
    made = model_config(config.model, config.max_seq_len, tokenizer)
    model = transformers_model(config.model, made, pretrained=False)
    real = build_optimizer(config.optimizer, model.parameters())
    tokens = torch.ones((2, config.max_seq_len), dtype=torch.int64)
    model(input_ids=tokens, labels=tokens)["loss"].backward()
    real.step()
    weights = list(model.parameters())
    assert need.parameters == sum(weight.numel() for weight in weights)
    # Tables of positions come on top.
    assert need.weights == pytest.approx(sum(weight.nbytes for weight in weights), rel=0.05)
    assert need.gradients == sum(weight.nbytes for weight in weights)
    states = [
        value for state in real.state.values() for value in state.values() if torch.is_tensor(value)
    ]
    assert need.optimizer == pytest.approx(sum(state.nbytes for state in states), abs=1000)


def test_the_peak_is_that_of_pytorchs_own_tracker() -> None:
    with FakeTensorMode():
        layers = torch.nn.Sequential(
            torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 64)
        )
        theirs = MemTracker()
        theirs.track_external(layers)
        with theirs:
            layers(torch.ones(1000, 64)).square().sum().backward()
    with FakeTensorMode(), Tracker() as ours:
        layers = torch.nn.Sequential(
            torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 64)
        )
        ours.reset()
        layers(torch.ones(1000, 64)).square().sum().backward()
    (expected,) = (peak["Total"] for peak in theirs.get_tracker_snapshot("peak").values())
    assert ours.peak.all == pytest.approx(expected, rel=0.01)


MIXTURES_OF_EXPERTS = {
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip


@pytest.mark.parametrize("kind", MIXTURES_OF_EXPERTS)
def test_experts_share_the_tokens_of_a_real_step(run_values: dict[str, Any], kind: str) -> None:
    sizes = MODELS["llama"] | MIXTURES_OF_EXPERTS[kind]
    config = config_of(run_values, kind, sizes, global_train_batch_size=32)
    need = need_of(config)
    tokenizer = load_tokenizer(config.tokenizer)
    made = model_config(config.model, config.max_seq_len, tokenizer)
    torch.manual_seed(0)
    with Tracker() as tracker:
        model = transformers_model(config.model, made, pretrained=False)
        optimizer = build_optimizer(config.optimizer, model.parameters())
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
        tracker.reset()
        tokens = torch.randint(1, len(tokenizer), (32, config.max_seq_len))
        mask = torch.ones_like(tokens, dtype=torch.bool)
        for _ in range(2):
            output = model(input_ids=tokens, attention_mask=mask, labels=tokens)
            output["loss"].backward()
    assert need.training == pytest.approx(tracker.peak.all, rel=0.1)


def test_accumulation_and_a_second_copy_of_the_weights_count(run_values: dict[str, Any]) -> None:
    sizes = {"n_embd": 256, "n_layer": 2, "n_head": 2}
    whole = need_of(config_of(run_values, "gpt2", sizes))
    half = need_of(config_of(run_values, "gpt2", sizes, device_train_microbatch_size=4))
    assert (whole.microbatch, half.microbatch) == (8, 4)
    assert half.training is not None
    assert whole.training is not None
    # While the second half is computed, the gradients of the first are there.
    assert half.training - half.state < whole.training - whole.state
    assert half.training > half.state
    averaged = need_of(
        config_of(run_values, "gpt2", sizes, algorithms={"ema": {"half_life": "1ba"}})
    )
    assert averaged.optimizer == whole.optimizer + whole.weights


def test_a_large_evaluation_batch_counts(run_values: dict[str, Any]) -> None:
    need = need_of(config_of(run_values, "gpt2", MODELS["gpt2"], device_eval_batch_size=4000))
    # Two batches of logits, of float32, for a vocabulary of 64.
    assert need.evaluation is not None
    assert need.evaluation > 2 * 4000 * 32 * 64 * 4
    assert need.training is not None
    assert need.evaluation > need.training


def test_a_model_whose_activations_cannot_be_traced(run_values: dict[str, Any]) -> None:
    """Which expert computes a token depends on the token; how many there are is hidden here."""
    sizes = {"d_model": 64, "n_heads": 4, "n_layers": 1}
    need = need_of(config_of(run_values, "dbrx", sizes))
    assert need.training is None
    assert need.weights > 0
    assert need.run == need.state + need.program
    assert "activations unknown" in parts(need)


MEASURED = """
import re, sys
from pathlib import Path
from mixscale.train.config import load_run_config
from mixscale.train.run.training import train

def kilobytes(key):
    return int(re.search(rf"{key}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

before = kilobytes("VmRSS")
train(load_run_config(sys.argv[1]), sys.argv[2])
print("kilobytes", kilobytes("VmHWM") - before)
"""


@pytest.mark.parametrize(
    ("sizes", "batch"),
    [
        ({"n_embd": 256, "n_layer": 4, "n_head": 4}, 64),
        ({"n_embd": 768, "n_layer": 6, "n_head": 4}, 8),
    ],
    ids=["activations", "weights"],
)
def test_a_real_run_takes_about_as_much(
    run_values: dict[str, Any], tmp_path: Path, sizes: dict[str, Any], batch: int
) -> None:
    """The most that the process of a run holds, as the kernel counts it, libraries aside."""
    config = config_of(run_values, "gpt2", sizes, global_train_batch_size=batch, max_duration="4ba")
    write_run_config(tmp_path / "run.yaml", config)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "run.yaml"), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )
    found = re.search(r"kilobytes (\d+)", done.stdout)
    assert found, done.stderr
    measured = int(found[1]) * 1024
    need = need_of(config)
    print(f"measured {format_bytes(measured)}, estimated {format_bytes(need.run)}: {parts(need)}")
    assert 0.6 < need.run / measured < 1.6


def need(**changes: Any) -> MemoryNeed:
    values = {
        "parameters": 1000, "on_gpu": False, "microbatch": 16, "evaluation_batch": 8,
        "sequence_length": 128, "weights": GIB, "gradients": GIB, "optimizer": 2 * GIB,
        "training": 8 * GIB, "evaluation": 6 * GIB, "fragments": GIB, "program": 0,
        "shared": GIB, "machine": 16 * GIB,
    }  # fmt: skip
    return MemoryNeed(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "runs", "way_out"),
    [
        ({}, 2, "--workers 1, which fits"),
        ({"machine": 64 * GIB}, 9, "--workers 6, which fits"),
        ({"on_gpu": True, "shared": 0}, 4, "--gpus-per-run 1, which fits"),
        ({"machine": 8 * GIB}, 1, "a device_train_microbatch_size below 16"),
        ({"machine": 8 * GIB, "evaluation": 9 * GIB}, 1, "a device_eval_batch_size below 8"),
        ({"machine": 4 * GIB}, 1, "Take a smaller model"),
    ],
)
def test_what_cannot_fit_is_refused_with_what_would(
    changes: dict[str, Any], runs: int, way_out: str
) -> None:
    with pytest.raises(UserError, match=rf"{re.escape(way_out)}.*--ignore-memory"):
        check_fits(need(**changes), runs)


@pytest.mark.parametrize(
    ("changes", "runs"),
    [({}, 1), ({"machine": None}, 1000), ({"training": None, "evaluation": None}, 3)],
)
def test_what_may_fit_is_not_refused(changes: dict[str, Any], runs: int) -> None:
    check_fits(need(**changes), runs)


def test_the_machine_is_what_the_kernel_says() -> None:
    found = memory_of_machine()
    total = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    assert found is not None
    assert total is not None
    assert 0 < found <= int(total[1]) * 1024


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1000, "1000 B"), (1024, "1 KiB"), (1.5 * GIB, "1.5 GiB"), (3 * 2**40, "3 TiB")],
)
def test_bytes_for_people(number: float, text: str) -> None:
    assert format_bytes(number) == text
