"""DuckDB's types of the records: what it reads back is what the model wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from mixscale.contracts.fit_record import FitRecord, Mixture
from mixscale.contracts.run_record import CurvePoint, DomainLoss, DomainTokens, RunRecord
from mixscale.contracts.shardset import ShardSet
from mixscale.contracts.sweep_record import SweepRecord
from mixscale.shards.sql.json_types import column_types, duckdb_type
from mixscale.shards.storage.mds_index import IndexFile

Count = Annotated[int, Field(ge=0)]


class Leaf(BaseModel):
    order: Count
    """A reserved word of SQL."""
    note: str | None = None


class Everything(BaseModel):
    flag: bool
    count: Count
    offset: int
    perhaps: int | None = Field(default=None, gt=0)
    share: float
    kind: Literal["base", "mixture"]
    pair: tuple[float, float]
    names: tuple[str, ...]
    leaves: list[Leaf] = []
    by_name: dict[str, dict[str, Leaf]] = {}
    mixed: float | dict[str, float] = 0.0
    anything: dict[str, Any] = {}


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
COUNTS = st.integers(0, 2**64 - 1)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
# JSON has no infinity, and NaN is unequal to itself; `test_nan_is_read` has it.
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.builds(Leaf, order=COUNTS, note=st.none() | NAMES)
EVERYTHING = st.builds(
    Everything,
    flag=st.booleans(),
    count=COUNTS,
    offset=INTEGERS,
    perhaps=st.none() | st.integers(1, 2**64 - 1),
    share=FLOATS,
    kind=st.sampled_from(["base", "mixture"]),
    pair=st.tuples(FLOATS, FLOATS),
    names=st.lists(NAMES, max_size=3).map(tuple),
    leaves=st.lists(LEAVES, max_size=3),
    by_name=st.dictionaries(NAMES, st.dictionaries(NAMES, LEAVES, max_size=2), max_size=2),
    mixed=FLOATS | st.dictionaries(NAMES, FLOATS, max_size=2),
    anything=st.dictionaries(NAMES, st.none() | NAMES | st.booleans(), max_size=2),
)
RUNS = st.builds(
    RunRecord,
    run_id=NAMES,
    sweep=st.none() | NAMES,
    scale_tokens=st.none() | COUNTS,
    seed=INTEGERS,
    status=st.sampled_from(["finished", "diverged"]),
    error=st.none() | NAMES,
    parameters=COUNTS,
    token_budget=COUNTS,
    seen_tokens=COUNTS,
    domains=st.dictionaries(
        NAMES,
        st.builds(
            DomainTokens,
            proportion=st.floats(0, 1),
            planned_tokens=COUNTS,
            seen_tokens=COUNTS,
            unique_tokens=COUNTS,
            available_tokens=COUNTS,
            epochs=st.floats(0, 1e9),
        ),
        max_size=2,
    ),
    evaluation=st.dictionaries(
        NAMES,
        st.builds(
            DomainLoss,
            loss_nats=FLOATS,
            standard_error=st.none() | FLOATS,
            tokens=COUNTS,
            perplexity=FLOATS,
            bits_per_byte=st.none() | FLOATS,
        ),
        max_size=2,
    ),
    learning_curve=st.lists(
        st.builds(CurvePoint, tokens=COUNTS, losses=st.dictionaries(NAMES, FLOATS, max_size=2)),
        max_size=2,
    ).map(tuple),
    seconds=FLOATS,
    train_seconds=FLOATS,
    tokens_per_second=FLOATS,
    device=NAMES,
    precision=NAMES,
    shardset_sha256=NAMES,
    versions=st.dictionaries(NAMES, NAMES, max_size=2),
    started=NAMES,
)
SWEEPS = st.builds(
    SweepRecord,
    name=NAMES,
    experiment=st.dictionaries(NAMES, INTEGERS, max_size=2),
    run_ids=st.lists(NAMES, max_size=3).map(tuple),
)


def read_back(folder: Path, model: type[BaseModel], text: str) -> dict[str, Any]:
    """Read a JSON file with DuckDB's columns of a model."""
    path = folder / "record.json"
    path.write_text(text, encoding="utf-8")
    with duckdb.connect() as connection:
        result = connection.execute(
            "FROM read_json(?, format = 'unstructured', columns = ?)",
            [str(path), column_types(model)],
        )
        columns = [(name, str(kind)) for name, kind, *_ in result.description or ()]
        (row,) = result.fetchall()
    return {
        name: json.loads(value) if kind == "JSON" and value is not None else value
        for (name, kind), value in zip(columns, row, strict=True)
    }


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=st.one_of(EVERYTHING, RUNS, SWEEPS))
def test_what_is_written_is_read_back(record: BaseModel, tmp_path: Path) -> None:
    text = json.dumps(record.model_dump(mode="json"), ensure_ascii=False)
    assert read_back(tmp_path, type(record), text) == json.loads(text)


@pytest.mark.parametrize("model", [ShardSet, IndexFile, FitRecord, Mixture])
def test_every_record_has_types(model: type[BaseModel], tmp_path: Path) -> None:
    assert read_back(tmp_path, model, "{}") == dict.fromkeys(model.model_fields)


def test_a_record_of_another_version_is_read(tmp_path: Path) -> None:
    old = (
        '{"flag": true, "leaves": [{"order": 3}, {"order": 4, "note": "x", "later": 1}], "new": 5}'
    )
    expected = dict.fromkeys(Everything.model_fields) | {
        "flag": True,
        "leaves": [{"order": 3, "note": None}, {"order": 4, "note": "x"}],
    }
    assert read_back(tmp_path, Everything, old) == expected


def test_nan_is_read(tmp_path: Path) -> None:
    share = read_back(tmp_path, Everything, '{"share": NaN}')["share"]
    assert share != share


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, "BIGINT"),
        (Annotated[int, Field(ge=0)], "UBIGINT"),
        (Annotated[int, Field(ge=-1)], "BIGINT"),
        (int | None, "BIGINT"),
        (bool | None, "BOOLEAN"),
        (Literal["a", "b"], "VARCHAR"),
        (Literal["a", 1], "JSON"),
        (int | str, "JSON"),
        (dict[str, Any], "JSON"),
        (dict[str, tuple[int, ...]], "MAP(VARCHAR, BIGINT[])"),
        (tuple[int, str], "JSON[]"),
        (Leaf, 'STRUCT("order" UBIGINT, "note" VARCHAR)'),
    ],
)
def test_types(annotation: Any, expected: str) -> None:
    assert duckdb_type(annotation) == expected


@pytest.mark.parametrize("annotation", [bytes, set[int], complex])
def test_a_type_without_counterpart_is_refused(annotation: Any) -> None:
    with pytest.raises(TypeError, match="no DuckDB type is known"):
        duckdb_type(annotation)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        column_types(Leaf, ["order", "colour"])
