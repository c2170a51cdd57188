"""Names that an experiment may give."""

from __future__ import annotations

import pytest

from mixscale.contracts.experiment import Objective


@pytest.mark.parametrize(
    ("short", "metric"), [("acc", "accuracy"), ("bpb", "bits_per_byte"), ("ppl", "perplexity")]
)
def test_metrics_may_be_called_as_columns_and_tasks_call_them(short: str, metric: str) -> None:
    assert Objective(metric=short) == Objective(metric=metric)
