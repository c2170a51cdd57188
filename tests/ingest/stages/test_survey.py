"""Sums over records are the same whatever tasks they are added up in."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mixscale.ingest.runtime.local import local_runner
from mixscale.ingest.select.meta_json import LOSS
from mixscale.ingest.stages.row_tasks import BundleRows, bundle_rows
from mixscale.ingest.stages.survey import SurveyTask, survey_bundles, survey_rows
from mixscale.ingest.unit_rows import (
    FILTERED,
    KEPT,
    MALFORMED,
    ROWS,
    TOO_SHORT,
    UNROUTED_RANK,
    Row,
    record_batch,
)

BUNDLES = [
    [Row(0, KEPT), Row(0, MALFORMED, "not JSON at column 7"), Row(1, KEPT, f"{LOSS}deep")],
    [],
    [Row(0, MALFORMED, "not JSON at column 12"), Row(UNROUTED_RANK, FILTERED, "'set' names none")],
    [Row(1, TOO_SHORT, f"{n} characters, fewer than 20") for n in range(15)],
    [Row(1, MALFORMED, f"reason {n}") for n in range(12)],
]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    for number, rows in enumerate(BUNDLES):
        found.append(tmp_path / f"{number}.arrow")
        with pa.ipc.new_file(str(found[-1]), ROWS) as writer:
            kept = sum(row.status == KEPT for row in rows)
            writer.write_batch(record_batch(rows, np.ones(kept, np.int64)))
    return found


@pytest.mark.parametrize("cuts", [[5], [1, 4], [1, 1, 1, 1, 1], [2, 3]])
def test_sums(cuts: list[int], paths: list[Path]) -> None:
    rows = [row for bundle in BUNDLES for row in bundle]
    total = None
    bundle = 0
    for count in cuts:
        first_row = sum(map(len, BUNDLES[:bundle]))
        some = BundleRows(paths=tuple(paths[bundle : bundle + count]), first_row=first_row)
        found = survey_bundles(SurveyTask(rows=some, domains=2))
        bundle += count
        if total is None:
            total = found
        else:
            total.add(found)
    assert total is not None
    ranks = Counter((row.domain if row.domain >= 0 else 2, row.status) for row in rows)
    assert {k: n for k, n in np.ndenumerate(total.counts) if n} == ranks
    assert total.losses == 1
    assert total.reasons[0, MALFORMED, "not JSON at column …"] == 2
    assert total.first_rows[0, MALFORMED, "not JSON at column …"] == 1
    assert total.reasons[1, TOO_SHORT, "… characters, fewer than 20"] == 15
    assert total.reasons[2, FILTERED, "'set' names none"] == 1
    malformed = [(n, row.detail) for n, row in enumerate(rows) if row.status == MALFORMED]
    assert total.malformed == malformed[:10]


def test_a_list_of_tasks(paths: list[Path], tmp_path: Path) -> None:
    with local_runner(1, tmp_path) as run:
        found = survey_rows(paths, [len(bundle) for bundle in BUNDLES], 2, run)
    assert int(found.counts.sum()) == sum(map(len, BUNDLES))


def test_bundles_are_put_together_by_rows() -> None:
    paths = [Path(str(n)) for n in range(6)]
    found = bundle_rows(paths, [1 << 19, 1 << 19, 5, 0, 1 << 21, 7])
    assert [(len(some.paths), some.first_row) for some in found] == [
        (2, 0),
        (3, 1 << 20),
        (1, (1 << 20) + 5 + (1 << 21)),
    ]
    assert bundle_rows([], []) == []
