"""Builds on a Ray cluster: the same bytes, also when a node dies half-way."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mixscale.ingest.readers.cut_units
import mixscale.runtime.ray_tasks
from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build
from mixscale.ingest.runtime.execute import open_runner
from mixscale.runtime.ray_machines import machine_requirements
from tests.ray_cluster import RayCluster, stop_at_work

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


pytestmark = pytest.mark.usefixtures("connected")


@pytest.fixture
def corpus(write_corpus: Callable, write_lines: Callable, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of about 40 units with duplicates, a broken record, filters."""
    monkeypatch.setattr(mixscale.ingest.readers.cut_units, "UNIT_BYTES", 5_000)
    rng = random.Random(3)
    for name in ("a", "b"):
        texts = [" ".join(rng.choices(WORDS, k=120)) for _ in range(120)]
        texts += rng.choices(texts, k=12)
        write_lines(f"{name}/1.jsonl", [*({"text": text} for text in texts), "{broken"])
    return write_corpus(
        domains={"a": {"paths": "a/*"}, "b": {"paths": "b/*", "min_characters": 600}},
        split={"validation": 0.2},
        shards={"size_limit": 10_000, "compression": "zstd"},
    )


def test_a_build_that_loses_a_node_gives_the_same_bytes(
    corpus: Path, tmp_path: Path, cluster: RayCluster, read_tree: Callable
) -> None:
    build(corpus, tmp_path / "local", workers=1, progress=False)
    node = cluster.add_node()
    units = tmp_path / "ray" / ".build" / "units"
    done_before: list[int] = []
    held: list[int] = []

    def kill() -> None:
        # Its connections stay open, as those of a machine without power.
        held.append(stop_at_work(node, "ray::_run_task"))
        done_before.append(len(list(units.glob("*.json"))))
        cluster.kill(node)

    killer = threading.Thread(target=kill)
    killer.start()
    build(corpus, tmp_path / "ray", executor="ray", progress=False)
    killer.join()
    with contextlib.suppress(ProcessLookupError):
        os.kill(held[0], signal.SIGKILL)
    # Its process was held in the middle of a task, which therefore was done again elsewhere.
    assert done_before[0] < 40
    assert read_tree(tmp_path / "ray") == read_tree(tmp_path / "local")


def fail(task: Any) -> None:
    """Raise a task."""
    raise task


def test_errors_arrive_as_they_do_from_local_workers(tmp_path: Path) -> None:
    cases = [
        (UserError("x.jsonl: cannot read"), UserError, "^x.jsonl: cannot read$"),
        (OSError(28, "No space left on device"), UserError, "cannot write on: No space left"),
        (KeyError("a bug"), KeyError, "a bug"),
    ]
    for executor in ("local", "ray"):
        with open_runner(executor, 2, tmp_path) as run:
            for error, kind, message in cases:
                with pytest.raises(kind, match=message) as caught:
                    run(fail, [error], lambda *_: None)
                assert type(caught.value) is kind


def die(task: Any) -> None:
    """End the process of a task, every time."""
    del task
    os._exit(1)


def test_a_task_that_always_kills_its_process_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixscale.runtime.ray_tasks, "MAX_LOSSES", 2)
    with (
        open_runner("ray", 1, tmp_path) as run,
        pytest.warns(UserWarning, match="a task runs again: its process died"),
        pytest.raises(UserError, match="lost 2 times, the last time because its process died"),
    ):
        run(die, [None], lambda *_: None)


def test_machines_must_share_the_folder(tmp_path: Path) -> None:
    with open_runner("ray", 1, tmp_path) as run:
        for path in tmp_path.iterdir():
            path.unlink()
        with pytest.raises(UserError, match=f"does not see {tmp_path}; with Ray, inputs and"):
            run(str, [1], lambda *_: None)


def test_machines_must_have_the_same_packages(tmp_path: Path) -> None:
    with machine_requirements(tmp_path, ["pyarrow", "no-such-package"]) as requirements:
        requirements.check()
        other = dataclasses.replace(requirements, versions={"pyarrow": "1.0"})
        with pytest.raises(UserError, match=r"has pyarrow [\d.]+, this machine 1.0; install"):
            other.check()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://head:10001", "RAY_ADDRESS: ray://head:10001: Ray Client is not supported"),
        ("127.0.0.1:1", "cannot connect to Ray at 127.0.0.1:1"),
        ("nonsense", "cannot connect to Ray at nonsense"),
    ],
)
def test_a_wrong_address_is_explained(
    address: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=message), open_runner("ray", 1, tmp_path):
        pass


def test_without_ray_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UserError, match=r"needs Ray; install it: pip install 'mixscale\[ray\]'"),
        open_runner("ray", 1, tmp_path),
    ):
        pass
