"""Fixtures that the tests of every package share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.ray_cluster import RayCluster

# No test may reach for a model hub: transformers would wait for the network before failing.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile(
    "any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the checkout: real corpora and published experiment tables."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if folder.is_dir():
        return folder
    message = f"{folder} is missing: it holds the real corpora and the published tables"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """A Ray cluster of one node, to which a test may add others."""
    cluster = RayCluster()
    yield cluster
    cluster.stop()


@pytest.fixture
def connected(cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands and calls of the test find the cluster."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
