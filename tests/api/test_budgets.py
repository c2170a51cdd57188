from __future__ import annotations

import pytest

from mixscale.api.budgets import read_budget
from mixscale.contracts.errors import UserError


@pytest.mark.parametrize(
    ("written", "tokens"),
    [("300B", 300 * 10**9), ("1.2M", 1_200_000), (3e11, 3 * 10**11), (50_000, 50_000)],
)
def test_budgets_are_read(written: object, tokens: int) -> None:
    assert read_budget(written) == tokens


@pytest.mark.parametrize("written", ["300X", "", 0, -1, 1.5, "0", True, None, [1]])
def test_what_is_no_budget_is_refused(written: object) -> None:
    with pytest.raises(UserError, match=r"^targets: .*number of tokens"):
        read_budget(written, "targets")
