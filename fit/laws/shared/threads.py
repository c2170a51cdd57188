"""Independent pieces of one fit on all cores, with the result of one core."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_MOST = 8
"""Threads; beyond that pieces wait for the interpreter."""


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Results in the order of the items; numpy and LightGBM let other threads run meanwhile."""
    every = list(items)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(cores or 1, len(every), _MOST)
    if threads < 2:
        return [work(item) for item in every]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, every))
