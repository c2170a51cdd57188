"""Speed on a GPU: GPT-2 against the Hugging Face Trainer, proxy runs at once against in turn.

    python -m benchmarks.gpu --out gpu-benchmark            # on a machine with a GPU
    python -m benchmarks.gpu --device cpu --models tiny --out gpu-benchmark   # tries the script

Needs mixscale and, for the Trainer's rows, `pip install accelerate`. Tokens are random and lie in a
temporary shard set. Measures

* tokens per second and model FLOPs utilisation (MFU) of `mixscale train` for each model at
  micro-batches of 1, 2, 4, … samples, until memory runs out;
* the same model trained by `transformers.Trainer` with the settings of the script that the
  AutoScale paper's authors published: fp16, one sample a device, gradients of 10 added up;
* a sweep of small proxy runs, one after another and all at once.

Each measurement has a process of its own. MFU is tokens per second x (6 N + 12 L d T) / peak, with
N parameters, L layers of width d and sequences of T tokens (Chowdhery et al., PaLM, arXiv
2204.02311, appendix B); the peak is the one Composer lists for the device. Writes `gpu.json` and
`gpu.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ruamel.yaml import YAML

from mixscale.contracts.atomic import atomic_write, write_json
from mixscale.contracts.config import format_tokens, validate

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"n_embd": 32, "n_layer": 2, "n_head": 2},
    "small": {"n_embd": 768, "n_layer": 12, "n_head": 12},
    "large": {"n_embd": 1280, "n_layer": 36, "n_head": 20},
}
"""GPT-2 Small and Large have 124 and 774 million parameters (Radford et al. 2019)."""
PAPER_ACCUMULATION = 10
_WARM_UP = 2
"""Optimizer steps that are not timed."""


def measure_ours(settings: dict[str, Any]) -> dict[str, Any]:
    """Train with Composer, one micro-batch size; returns tokens per second and peak memory."""
    import torch

    from benchmarks.synthetic import write_shards
    from mixscale.train.config import RunConfig
    from mixscale.train.run.training import train

    micro, steps, length = settings["micro_batch"], settings["steps"], settings["length"]
    batch = max(micro, settings["batch"] // micro * micro)
    moments: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        values = write_shards(
            Path(folder),
            vocabulary=settings["vocabulary"],
            length=length,
            samples=batch * (steps + _WARM_UP),
        )
        values |= {
            "model": _model(settings["model"]),
            "eval_loader": [],
            "max_duration": f"{steps + _WARM_UP}ba",
            "global_train_batch_size": batch,
            "device_train_microbatch_size": micro,
        }
        record = train(
            validate(values, RunConfig, "benchmark"),
            Path(folder) / "run",
            listener=lambda tokens: moments.append((time.perf_counter(), tokens)),
            listener_interval=0.0,
        )
    return {
        "status": record.status,
        "precision": record.precision,
        "parameters": record.parameters,
        "batch": batch,
        "tokens_per_second": _slope(moments) if record.status == "finished" else None,
        "peak_memory_gib": _peak_memory(torch),
    }


def measure_trainer(settings: dict[str, Any]) -> dict[str, Any]:
    """Train with `transformers.Trainer` as the paper's script does; returns tokens per second."""
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    length, steps = settings["length"], settings["steps"] + _WARM_UP
    config = AutoConfig.for_model(
        "gpt2", vocab_size=settings["vocabulary"], n_positions=length, **SIZES[settings["model"]]
    )
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(
        settings["vocabulary"], (steps * PAPER_ACCUMULATION, length), generator=generator
    )
    moments: list[tuple[float, int]] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            done = state.global_step * PAPER_ACCUMULATION * length
            moments.append((time.perf_counter(), done))

    on_gpu = settings["device"] == "gpu"
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=AutoModelForCausalLM.from_config(config),
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=1,
                gradient_accumulation_steps=PAPER_ACCUMULATION,
                max_steps=steps,
                fp16=on_gpu,
                use_cpu=not on_gpu,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=[{"input_ids": row, "labels": row} for row in tokens],  # pyright: ignore[reportArgumentType]
            callbacks=[Clock()],
        )
        trainer.train()
    return {
        "status": "finished",
        "precision": "amp_fp16" if on_gpu else "fp32",
        "batch": PAPER_ACCUMULATION,
        "tokens_per_second": _slope(moments),
        "peak_memory_gib": _peak_memory(torch),
    }


def measure_proxies(settings: dict[str, Any]) -> dict[str, Any]:
    """Run a sweep of proxy runs, `workers` at a time; returns its seconds from start to end."""
    from benchmarks.synthetic import DOMAINS, write_shards
    from mixscale.train.sweep.sweep import sweep

    count, tokens = settings["proxies"], settings["proxy_tokens"]
    shares = [0.4 + 0.2 * number / count for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder) / "shardset", vocabulary=2048, length=128, samples=8192)
        experiment = {
            "name": "proxies",
            "shardset": "shardset",
            "design": {
                "type": "explicit",
                "scales": [tokens],
                "mixtures": {
                    f"m{number}": {DOMAINS[0]: share, DOMAINS[1]: 1 - share}
                    for number, share in enumerate(shares)
                },
            },
            "evaluation": {"tokens_per_domain": 4096},
            "max_proxy_epochs": 100,
            "targets": [10 * tokens],
            "run": {"model": _model("tiny")},
        }
        path = Path(folder) / "experiment.yaml"
        with path.open("w") as stream:
            YAML().dump(experiment, stream)
        start = time.perf_counter()
        result = sweep(path, workers=settings["workers"], report=lambda line: None)
        seconds = time.perf_counter() - start
    return {
        "status": "finished" if result.is_complete else "failed",
        "runs": len(result.records),
        "seconds": seconds,
        "tokens_per_second": sum(record.seen_tokens for record in result.records) / seconds,
    }


MEASUREMENTS = {"ours": measure_ours, "trainer": measure_trainer, "proxies": measure_proxies}


def flops_per_token(model: str, parameters: int, length: int) -> int:
    """Count the operations that training needs for one token: 6 N + 12 L d T."""
    size = SIZES[model]
    return 6 * parameters + 12 * size["n_layer"] * size["n_embd"] * length


def peak_flops(precision: str) -> float | None:
    """Look up the device's peak in Composer's list; None when it is not there."""
    import torch
    from composer.callbacks.speed_monitor import get_gpu_flops_available

    if not torch.cuda.is_available():
        return None
    state = SimpleNamespace(precision=SimpleNamespace(value=precision))
    return get_gpu_flops_available(state) or None  # pyright: ignore[reportArgumentType]


def in_own_process(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Measure one thing; memory that it leaves taken is gone with the process."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--measure", kind, json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return {"status": "failed", "error": reason}
    return json.loads(done.stdout.splitlines()[-1])


def compare_models(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every model at growing micro-batches, then the Trainer's way."""
    rows = []
    for model in arguments.models:
        settings = {
            "model": model, "length": arguments.length, "vocabulary": arguments.vocabulary,
            "steps": arguments.steps, "batch": arguments.batch, "device": arguments.device,
        }  # fmt: skip
        ours = _growing(settings, arguments.batch)
        rows += ours
        parameters = next((row["parameters"] for row in ours if "parameters" in row), 0)
        if find_spec("accelerate") is None:
            print("transformers.Trainer left out: `pip install accelerate`", flush=True)
            continue
        row = in_own_process("trainer", settings)
        row |= {"way": "transformers.Trainer", "model": model, "micro_batch": 1}
        row["parameters"] = parameters
        rows.append(row)
        _say(row)
    for row in rows:
        row["mfu"] = _mfu(row, arguments.length)
    return rows


def compare_sweeps(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure a sweep one run at a time and all at once."""
    rows = []
    for workers in (1, arguments.proxies):
        settings = {
            "proxies": arguments.proxies, "proxy_tokens": arguments.proxy_tokens,
            "workers": workers,
        }  # fmt: skip
        row = in_own_process("proxies", settings) | {"workers": workers}
        rows.append(row)
        _say({"way": f"{arguments.proxies} proxies, {workers} at a time"} | row)
    return rows


def render(result: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    lines = [
        f"# {result['device']}",
        "",
        f"Sequences of {result['length']} tokens, vocabulary {result['vocabulary']:,}.",
        "",
        "| model | trained by | micro-batch | batch | precision | tokens/s | MFU | peak GiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["models"]:
        speed = row.get("tokens_per_second")
        cells = (
            row["model"],
            row["way"],
            row["micro_batch"],
            row.get("batch", ""),
            row.get("precision", ""),
            f"{speed:,.0f}" if speed else row["status"],
            f"{row['mfu']:.1%}" if row["mfu"] else "",
            f"{row['peak_memory_gib']:.1f}" if row.get("peak_memory_gib") else "",
        )
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", "| proxy runs | at a time | seconds | tokens/s |", "|---|---|---|---|"]
    for row in result["sweeps"]:
        if row["status"] == "finished":
            lines.append(
                f"| {row['runs']} | {row['workers']} | {row['seconds']:.1f} | "
                f"{row['tokens_per_second']:,.0f} |"
            )
        else:
            lines.append(f"| | {row['workers']} | {row.get('error', row['status'])} | |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is asked for, or, in a process of its own, one thing."""
    if sys.argv[1:2] == ["--measure"]:
        kind, settings = sys.argv[2:4]
        print(json.dumps(MEASUREMENTS[kind](json.loads(settings))))
        return
    arguments = _arguments()
    from mixscale.train.run.device import choose_device, describe_device

    if arguments.device == "gpu" and choose_device() != "gpu":
        sys.exit("no GPU here; `--device cpu --models tiny` tries the script without one")
    result = {
        "device": describe_device(arguments.device),
        "length": arguments.length,
        "vocabulary": arguments.vocabulary,
        "models": compare_models(arguments),
        "sweeps": compare_sweeps(arguments),
    }
    write_json(arguments.out / "gpu.json", result)
    with atomic_write(arguments.out / "gpu.md") as stream:
        stream.write(render(result))
    print(render(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the speed of training on a GPU.")
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--models", nargs="+", choices=list(SIZES), default=["small", "large"])
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64, help="samples in an optimizer step")
    parser.add_argument("--proxies", type=int, default=8)
    parser.add_argument("--proxy-tokens", type=int, default=2_000_000)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def _growing(settings: dict[str, Any], largest: int) -> list[dict[str, Any]]:
    """Double the micro-batch until memory runs out or the batch is one micro-batch."""
    rows = []
    for power in range(int(math.log2(largest)) + 1):
        row = in_own_process("ours", settings | {"micro_batch": 2**power})
        row |= {"way": "mixscale", "model": settings["model"], "micro_batch": 2**power}
        rows.append(row)
        _say(row)
        if row["status"] != "finished":
            break
    return rows


def _model(size: str) -> dict[str, Any]:
    return {
        "name": "hf_causal_lm",
        "pretrained_model_name_or_path": "gpt2",
        "pretrained": False,
        "config_overrides": SIZES[size],
    }


def _mfu(row: dict[str, Any], length: int) -> float | None:
    peak = peak_flops(row.get("precision", ""))
    if peak is None or not row.get("tokens_per_second"):
        return None
    return (
        row["tokens_per_second"] * flops_per_token(row["model"], row["parameters"], length) / peak
    )


def _slope(moments: list[tuple[float, int]]) -> float:
    """Tokens per second after the warm-up."""
    (start, before), (end, after) = moments[_WARM_UP - 1], moments[-1]
    return (after - before) / (end - start)


def _peak_memory(torch: Any) -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def _say(row: dict[str, Any]) -> None:
    speed = row.get("tokens_per_second")
    shown = f"{format_tokens(speed)} tokens/s" if speed else row.get("error", row["status"])
    name = " ".join(str(row[key]) for key in ("way", "model") if key in row)
    micro = f", micro-batch {row['micro_batch']}" if "micro_batch" in row else ""
    print(f"{name}{micro}: {shown}", flush=True)


if __name__ == "__main__":
    main()
