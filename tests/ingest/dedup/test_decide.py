import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixscale.ingest.dedup.groups
from mixscale.ingest.dedup.decide import Policy, Scope, decide
from mixscale.ingest.dedup.groups import Source
from mixscale.ingest.runtime.local import local_runner
from mixscale.ingest.unit_rows import DUPLICATE, KEPT, TOO_SHORT
from tests.ingest.dedup.unit_files import write_unit

ROW = st.tuples(st.integers(0, 2), st.integers(0, 9), st.sampled_from([KEPT, KEPT, TOO_SHORT]))


@settings(max_examples=60)
@given(
    st.lists(st.lists(ROW, max_size=12), min_size=1, max_size=4),
    st.sampled_from(["corpus", "domain", "none"]),
    st.permutations([0, 1, 2]),
    st.sampled_from([5, 1000]),
    st.sampled_from([0.0, 0.3, None]),
)
def test_against_one_row_after_the_other(
    tmp_path_factory: pytest.TempPathFactory,
    units: list[list[tuple[int, int, int]]],
    scope: Scope,
    priority: list[int],
    group_rows: int,
    share: float | None,
) -> None:
    folder = tmp_path_factory.mktemp("decide")
    paths = [write_unit(folder / f"{n}.arrow", rows) for n, rows in enumerate(units)]
    sources = [Source(rows_path=p, rows=len(u)) for p, u in zip(paths, units, strict=True)]
    policy = Policy(scope=scope, priority=tuple(priority), share=share, documents=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixscale.ingest.dedup.groups, "GROUP_ROWS", group_rows)
        with local_runner(1, folder) as run:
            decisions = decide(sources, policy, folder / "decisions", run)
    rows = [row for unit in units for row in unit]
    winners: dict[tuple[int, ...], int] = {}
    for index, (domain, text, status) in sorted(
        enumerate(rows), key=lambda item: (priority[item[1][0]], item[0])
    ):
        if status == KEPT and scope != "none":
            winners.setdefault((text,) if scope == "corpus" else (domain, text), index)
    found, copy_of = decisions.status(0, len(rows)), decisions.copy_of(0, len(rows))
    for index, (domain, text, status) in enumerate(rows):
        winner = winners.get((text,) if scope == "corpus" else (domain, text), index)
        if status != KEPT or scope == "none":
            winner = index
        assert found[index] == (status if winner == index else DUPLICATE)
        assert copy_of[index] == (-1 if winner == index else winner)
    validation, status = decisions.validation(0, len(rows)), found
    held_out = {rows[i][1] for i in np.flatnonzero(validation).tolist()}
    trained = {rows[i][1] for i in np.flatnonzero((status == KEPT) & ~validation).tolist()}
    assert not held_out & trained
    if share is not None:
        assert all((text << 60) < share * 2**64 for text in held_out)
    else:
        for domain in range(3):
            texts = {t for i, (d, t, _) in enumerate(rows) if d == domain and status[i] == KEPT}
            assert set(sorted(texts)[:2]) <= held_out
