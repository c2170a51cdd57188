"""The benchmark for GPUs, tried without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import flops_per_token


def test_operations_of_gpt2_small() -> None:
    """6 N is most of it: 124 million parameters; attention over 1,024 tokens adds the rest."""
    assert flops_per_token("small", 124_439_808, 1024) == 6 * 124_439_808 + 12 * 12 * 768 * 1024


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no GPU here; `--device cpu --models tiny`" in done.stderr


@pytest.mark.slow
def test_it_measures_on_a_cpu(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    subprocess.run(
        [
            sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--models", "tiny",
            "--length", "32", "--vocabulary", "256", "--steps", "2", "--batch", "2",
            "--proxies", "2", "--proxy-tokens", "10000", "--out", str(tmp_path),
        ],
        check=True,
    )  # fmt: skip
    result = json.loads((tmp_path / "gpu.json").read_text())
    ways = [(row["way"], row["micro_batch"], row["status"]) for row in result["models"]]
    assert ways == [
        ("mixscale", 1, "finished"),
        ("mixscale", 2, "finished"),
        ("transformers.Trainer", 1, "finished"),
    ]
    assert all(row["tokens_per_second"] > 0 for row in result["models"] + result["sweeps"])
    assert [row["workers"] for row in result["sweeps"]] == [1, 2]
    assert "| tiny | mixscale | 2 |" in (tmp_path / "gpu.md").read_text()
