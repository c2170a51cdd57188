"""What the record says of more of one domain, against the truth that the runs were made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixscale.contracts.fit_record import read_fit
from tests.fit.simulated import losses_of_three as losses


def test_the_predicted_changes_are_those_of_the_truth(clear: Path) -> None:
    record = read_fit(clear)
    last = record.scales[-1]
    assert last.scale_tokens is not None
    assert [bool(scale.moves) for scale in record.scales] == [False, True]
    now = np.full(3, 1 / 3, dtype=np.float64)
    part = last.moved_share
    for i, domain in enumerate(record.domains):
        after = (1 - part) * now + part * np.eye(3)[i]
        tokens = float(last.scale_tokens)
        truth = losses(after * tokens) - losses(now * tokens)
        found = [last.moves[domain][result] for result in record.validation]
        assert found == pytest.approx(truth, abs=0.003)
        # Of three, a domain helps its own loss most.
        assert int(np.argmin(found)) == i


def test_the_time_of_the_runs_is_told_by_device(clear: Path) -> None:
    cost = read_fit(clear).cost
    assert cost.device_seconds == {"cpu": pytest.approx(cost.seconds)}
