"""Which share of the machine a run of a sweep gets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mixscale.train.executors.worker import cores_of_slot, gpu_of_slot


@given(slots=st.integers(1, 9), gpus=st.integers(1, 4))
def test_slots_share_gpus_evenly(slots: int, gpus: int) -> None:
    names = [f"GPU-{number}" for number in range(gpus)]
    used = Counter(gpu_of_slot(slot, names) for slot in range(slots))
    counts = [used[name] for name in names]
    assert max(counts) - min(counts) <= 1


@given(slots=st.integers(1, 9), cores=st.lists(st.integers(0, 99), min_size=1, unique=True))
def test_every_core_belongs_to_one_slot(slots: int, cores: list[int]) -> None:
    shares = [cores_of_slot(slot, slots, cores) for slot in range(slots)]
    assert all(shares)
    if slots <= len(cores):
        assert sorted(core for share in shares for core in share) == sorted(cores)
    else:
        assert {len(share) for share in shares} == {1}
        assert {core for share in shares for core in share} == set(cores)


def test_a_run_stays_on_its_cores_with_one_thread() -> None:
    script = """
import os, torch
import mixscale.train.executors.preload
from mixscale.train.executors.worker import _take_share
_take_share(1, 2)
print(sorted(os.sched_getaffinity(0)), torch.get_num_threads(), torch.cuda.is_initialized())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    mine = cores_of_slot(1, 2, sorted(os.sched_getaffinity(0)))
    assert done.stdout.strip() == f"{mine} 1 False"
