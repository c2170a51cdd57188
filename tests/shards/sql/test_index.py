from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streaming import LocalDataset

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.shardset import read_shardset
from mixscale.shards.sql.index import is_current, open_index, rebuild_index
from mixscale.shards.sql.json_types import column_types
from mixscale.shards.sql.lookup import documents_in_sample, samples_of_document
from mixscale.shards.sql.macros import MACROS
from mixscale.shards.sql.views import VIEWS
from tests.shards.small_shardsets import DOMAINS, make_fit, make_runs, make_shardset

OF_RUNS = ("runs", "run_domains", "learning_curves", "sweeps", "evaluations", "evaluation_items")
EMPTY_WITHOUT_RUNS = (*OF_RUNS, "fits", "mixtures")


@pytest.fixture(scope="module")
def index(made: Path) -> duckdb.DuckDBPyConnection:
    return open_index(made)


@pytest.mark.parametrize("name", VIEWS)
def test_every_column_is_documented(name: str, index: duckdb.DuckDBPyConnection) -> None:
    described = index.execute(f"DESCRIBE {name}").fetchall()
    assert [row[0] for row in described] == list(VIEWS[name].columns)
    assert index.execute(f"FROM {name}").fetchall()


def test_every_plain_field_of_a_run_record_is_a_column() -> None:
    plain = {name for name, kind in column_types(RunRecord).items() if "(" not in kind}
    assert set(VIEWS["runs"].columns) == plain - {"format", "learning_curve"}


def test_every_macro_column_is_documented(index: duckdb.DuckDBPyConnection) -> None:
    calls = {
        "documents_in_sample": "documents_in_sample('arxiv', 'train', 0)",
        "samples_of_document": "samples_of_document('none')",
        "run_difference": "run_difference('none', 'none')",
        "curve_difference": "curve_difference('none', 'none')",
        "evaluation_difference": "evaluation_difference('none', 'none')",
        "tokens_saved": "tokens_saved('none', 'none')",
    }
    assert set(calls) == set(MACROS)
    for name, call in calls.items():
        described = index.execute(f"DESCRIBE FROM {call}").fetchall()
        assert [row[0] for row in described] == list(MACROS[name].columns)


def test_views_without_runs_are_empty_and_typed(tmp_path: Path) -> None:
    make_shardset(tmp_path / "alone")
    make_runs(tmp_path / "full")
    make_fit(tmp_path / "full")
    alone = open_index(tmp_path / "alone")
    full = open_index(tmp_path / "alone", out=tmp_path / "full")
    for name in EMPTY_WITHOUT_RUNS:
        assert alone.execute(f"FROM {name}").fetchall() == []
        assert full.execute(f"FROM {name}").fetchall() != []
        describe = f"DESCRIBE {name}"
        assert alone.execute(describe).fetchall() == full.execute(describe).fetchall()


def test_runs_are_seen_without_a_rebuild(tmp_path: Path) -> None:
    make_shardset(tmp_path)
    index = open_index(tmp_path)
    records = make_runs(tmp_path)
    assert index.execute("SELECT count(*) FROM runs").fetchall() == [(len(records),)]


def test_domains_add_up(made: Path, index: duckdb.DuckDBPyConnection) -> None:
    shardset = read_shardset(made)
    rows = index.execute(
        "SELECT domain, split, documents, tokens, samples, remainder_tokens, bytes, shards, "
        "shard_bytes FROM domains WHERE split IS NOT NULL"
    ).fetchall()
    expected = [
        (domain, split, s.documents, s.tokens, s.samples, s.remainder_tokens, s.text_bytes,
         s.shards, s.shard_bytes)
        for domain, splits in shardset.domains.items()
        for split, s in splits.items()
    ]  # fmt: skip
    assert rows == expected
    totals = index.execute(
        "SELECT sum(records), sum(documents), sum(duplicates), sum(rejects) FROM domains"
    ).fetchall()
    counted = index.execute(
        "SELECT count(*), count(*) FILTER (status = 'kept'), "
        "count(*) FILTER (status = 'duplicate'), "
        "count(*) FILTER (status IN ('filtered', 'malformed')) FROM documents"
    ).fetchall()
    assert totals == counted


def test_quantiles_are_those_of_numpy(index: duckdb.DuckDBPyConnection) -> None:
    lengths = index.execute(
        "SELECT tokens FROM documents WHERE domain = 'github' AND split = 'train'"
    ).fetchnumpy()["tokens"]
    row = index.execute(
        "SELECT tokens_p05, tokens_p25, tokens_p50, tokens_p75, tokens_p95, tokens_max "
        "FROM domains WHERE domain = 'github' AND split = 'train'"
    ).fetchone()
    assert row == pytest.approx(np.quantile(lengths, [0.05, 0.25, 0.5, 0.75, 0.95, 1]))


def test_shards_count_on_from_the_first_sample(
    made: Path, index: duckdb.DuckDBPyConnection
) -> None:
    rows = index.execute(
        "SELECT path, first_sample, samples, bytes FROM shards "
        "WHERE domain = 'arxiv' AND split = 'train' ORDER BY shard"
    ).fetchall()
    assert len(rows) > 1
    next_sample = 0
    for path, first_sample, samples, size in rows:
        assert first_sample == next_sample
        assert (made / path).stat().st_size == size
        next_sample += samples


def test_duplicates_name_the_kept_document(index: duckdb.DuckDBPyConnection) -> None:
    rows = index.execute(
        "SELECT d.detail, kept_file || ':' || kept_row, d.doc_id, kept.doc_id FROM duplicates AS d "
        "JOIN documents AS kept ON kept.source_file = kept_file AND kept.source_row = kept_row"
    ).fetchall()
    counted = index.execute("SELECT count(*) FROM documents WHERE status = 'duplicate'").fetchall()
    assert [(len(rows),)] == counted
    assert rows
    for detail, found, doc_id, kept_doc_id in rows:
        assert detail == found
        assert doc_id == kept_doc_id


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_sample_is_its_documents(
    data: st.DataObject, made: Path, index: duckdb.DuckDBPyConnection
) -> None:
    shardset = read_shardset(made)
    domain = data.draw(st.sampled_from(DOMAINS))
    split = data.draw(st.sampled_from(["train", "validation"]))
    summary = shardset.domains[domain][split]  # pyright: ignore[reportArgumentType]
    length = shardset.sequence_length
    sample = data.draw(st.integers(0, summary.samples))
    parts = documents_in_sample(index, domain, split, sample)
    # The parts fill the sample, and documents end exactly where the end-of-text tokens are.
    end = summary.remainder_tokens if sample == summary.samples else length
    assert [part.from_offset for part in parts] == [0, *(part.to_offset for part in parts[:-1])][
        : len(parts)
    ]
    assert sum(part.tokens for part in parts) == end
    if sample < summary.samples:
        tokens = LocalDataset(str(made / domain / split))[sample]["tokens"]
        ends = [
            part.to_offset - 1
            for part in parts
            if part.from_token + part.tokens == part.document_tokens
        ]
        assert np.flatnonzero(tokens == shardset.tokenizer.eos_token_id).tolist() == ends


def test_a_document_is_its_samples(made: Path, index: duckdb.DuckDBPyConnection) -> None:
    shardset = read_shardset(made)
    rows = index.execute("SELECT doc_id, tokens FROM documents WHERE status = 'kept'").fetchall()
    for doc_id, tokens in rows[::7]:
        parts = samples_of_document(index, doc_id)
        assert sum(part.to_offset - part.from_offset for part in parts) == tokens
        samples = shardset.domains[parts[0].domain][parts[0].split].samples  # pyright: ignore[reportArgumentType]
        for part in parts:
            assert (part.path is None) == (part.sample >= samples)
            held = documents_in_sample(index, part.domain, part.split, part.sample)
            assert doc_id in [other.doc_id for other in held]


def test_run_domains_hold_the_records(index: duckdb.DuckDBPyConnection) -> None:
    row = index.execute(
        "SELECT planned_tokens, unique_tokens, epochs, loss_nats, standard_error, "
        "evaluated_tokens, bits_per_byte FROM run_domains "
        "WHERE run_id = 'demo-base' AND domain = 'github'"
    ).fetchone()
    assert row == pytest.approx((3000, 3000, 0.25, 3.1, 0.01, 640, 3.1 / np.log(2) / 4))
    statuses = index.execute("SELECT run_id, status FROM sweeps ORDER BY position").fetchall()
    assert statuses == [
        ("demo-base", "finished"),
        ("demo-more", "finished"),
        ("demo-bad", "diverged"),
        ("demo-next", None),
    ]
    curve = index.execute(
        "SELECT tokens, loss_nats FROM learning_curves "
        "WHERE run_id = 'demo-base' AND domain = 'arxiv' ORDER BY tokens"
    ).fetchall()
    assert curve == [(3000, 4.0), (6000, 3.0)]


def test_mixtures_of_fits(index: duckdb.DuckDBPyConnection) -> None:
    assert index.execute("SELECT fit_id, law, objective FROM fits").fetchall() == [
        ("demo-ddo", "ddo", "loss")
    ]
    assert index.execute("FROM mixtures ORDER BY ALL").fetchall() == [
        ("demo-ddo", "measured", 1000000, "arxiv", 0.25, 2.75),
        ("demo-ddo", "measured", 1000000, "github", 0.75, 2.75),
        ("demo-ddo", "projected", 300000000000, "arxiv", 0.5, None),
        ("demo-ddo", "projected", 300000000000, "github", 0.5, None),
    ]


@pytest.mark.parametrize(
    "fit", [{}, {"law": {"name": "x"}, "mixtures": None}, {"objective": {"metric": "loss"}}]
)
def test_an_unusual_fit_is_no_error(fit: dict[str, object], copied: Path) -> None:
    path = copied / "fits" / "other" / "fit.json"
    path.parent.mkdir()
    path.write_text(json.dumps(fit))
    with open_index(copied) as index:
        assert ("other",) in index.execute("SELECT fit_id FROM fits").fetchall()
        assert index.execute("SELECT count(*) FROM mixtures").fetchall() == [(4,)]


@pytest.mark.parametrize("name", ["moved", "with, a comma", "it's [1] *odd", "ünï"])
def test_a_moved_shard_set_answers(name: str, copied: Path, tmp_path: Path) -> None:
    moved = copied.rename(tmp_path / name)
    with open_index(moved) as index:
        assert index.execute("SELECT count(*) FROM documents").fetchall() == [(180,)]
        assert index.execute("SELECT count(*) FROM runs").fetchall() == [(3,)]
        assert index.execute("SELECT count(DISTINCT domain) FROM shards").fetchall() == [(3,)]
    rebuild_index(moved)
    assert is_current(moved)


def test_any_duckdb_reads_the_index_inside_the_folder(copied: Path, tmp_path: Path) -> None:
    moved = copied.rename(tmp_path / "elsewhere, perhaps")
    script = (
        "import duckdb; index = duckdb.connect('index.duckdb', read_only=True); "
        "print(index.execute('SELECT count(*) FROM documents JOIN domains USING (domain, split)')"
        ".fetchone()[0], index.execute('SELECT count(*) FROM runs').fetchone()[0], "
        "index.execute(\"SELECT comment FROM duckdb_columns() WHERE table_name = 'shards' "
        "AND column_name = 'bytes'\").fetchone()[0])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=moved, check=True, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "147 3 bytes of the file on disk"


def test_a_missing_stale_or_damaged_index_is_made_again(copied: Path) -> None:
    path = copied / "index.duckdb"
    assert is_current(copied)
    path.unlink()
    assert not is_current(copied)
    open_index(copied).close()
    assert is_current(copied)
    path.write_bytes(b"not a database")
    open_index(copied).close()
    assert is_current(copied)
    text = (copied / "shardset.json").read_text()
    old = read_shardset(copied).content_sha256
    (copied / "shardset.json").write_text(text.replace(old, "f" * 64))
    assert not is_current(copied)
    open_index(copied).close()
    assert is_current(copied)


def test_an_index_of_another_version_is_stale(copied: Path) -> None:
    with duckdb.connect(str(copied / "index.duckdb")) as index:
        index.execute("UPDATE index_info SET definitions_sha256 = 'other'")
    assert not is_current(copied)


def test_another_connection_does_not_disturb(copied: Path, tmp_path: Path) -> None:
    make_runs(tmp_path / "out", sweep="other")
    first, second = open_index(copied), open_index(copied, out=tmp_path / "out")
    assert first.execute("SELECT DISTINCT sweep FROM sweeps").fetchall() == [("demo",)]
    assert second.execute("SELECT DISTINCT sweep FROM sweeps").fetchall() == [("other",)]
    assert is_current(copied)


def test_unfinished_writes_are_not_read(copied: Path) -> None:
    source = copied / "documents" / "arxiv" / "00000.parquet"
    shutil.copy(source, source.with_name(".tmp-abc-00000.parquet"))
    (copied / "sweeps" / ".tmp-abc-demo.json").write_text("{")
    with open_index(copied) as index:
        assert index.execute("SELECT count(*) FROM documents").fetchall() == [(180,)]
        assert index.execute("SELECT count(*) FROM sweeps").fetchall() == [(4,)]


def test_a_shard_set_without_documents_has_typed_views(copied: Path) -> None:
    before = open_index(copied).execute("DESCRIBE documents").fetchall()
    shutil.rmtree(copied / "documents")
    with open_index(copied) as index:
        assert index.execute("DESCRIBE documents").fetchall() == before
        assert index.execute("FROM documents").fetchall() == []


@pytest.mark.parametrize(
    ("damaged", "broken"),
    [
        ("runs/demo-base/result.json", {*OF_RUNS}),
        ("sweeps/demo.json", {"sweeps"}),
        ("fits/demo-ddo/fit.json", {"fits", "mixtures"}),
        ("arxiv/train/index.json", {"shards", "domains"}),
    ],
)
@pytest.mark.parametrize("text", ["{", '{"run_id": }', "\x00", "[1", ""])
def test_a_damaged_file_breaks_only_what_is_made_of_it(
    damaged: str, broken: set[str], text: str, copied: Path
) -> None:
    (copied / damaged).write_text(text)
    with open_index(copied) as index:
        for name in set(VIEWS) - broken:
            assert index.execute(f"FROM {name}").fetchall()
        for name in broken if text else ():
            with pytest.raises(duckdb.Error, match=re.escape(damaged)):
                index.execute(f"FROM {name}").fetchall()
        for name in () if text else broken:
            # DuckDB reads an empty file as no record.
            result = index.execute(f"FROM {name}")
            assert [column[0] for column in result.description or ()] == list(VIEWS[name].columns)
            assert "demo-base" not in str(result.fetchall()) or name == "sweeps"


@pytest.mark.parametrize(
    ("missing", "message"),
    [(".", "no such folder"), ("shardset.json", r"not a finished shard set \(no shardset\.json\)")],
)
def test_what_is_no_shard_set_is_refused(missing: str, message: str, copied: Path) -> None:
    shutil.rmtree(copied) if missing == "." else (copied / missing).unlink()
    with pytest.raises(UserError, match=message):
        open_index(copied)
    with pytest.raises(UserError, match=message):
        rebuild_index(copied)


def test_the_open_index_reaches_no_other_file(made: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    with open_index(made) as index:
        with pytest.raises(duckdb.PermissionException, match="disabled by configuration"):
            index.execute(f"FROM read_csv('{outside}')")
        with pytest.raises(duckdb.PermissionException, match="disabled by configuration"):
            index.execute(f"COPY (SELECT 1) TO '{tmp_path / 'x.csv'}'")
        with pytest.raises(duckdb.Error, match="locked"):
            index.execute("SET enable_external_access = true")
    with open_index(made, read_only=False) as index:
        assert index.execute(f"FROM read_csv('{outside}')").fetchall() == [(1,)]


def test_the_index_imports_no_torch() -> None:
    script = (
        "import sys, mixscale.shards.sql.index, mixscale.shards.sql.query; "
        "import mixscale.shards.verify.verify, mixscale.shards.sql.domain_table, "
        "mixscale.shards.storage.mds; "
        "print(sorted({'torch', 'streaming', 'composer', 'pandas'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    ran = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    )
    assert ran.stdout.strip() == "[]"


def test_the_documentation_lists_every_column() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "sql.md").read_text()
    for name, view in VIEWS.items():
        section = text.split(f"### `{name}`\n")[1].split("\n### ")[0]
        for column, meaning in view.columns.items():
            assert f"| `{column}` | {meaning} |" in section, (name, column)
    for name, macro in MACROS.items():
        section = text.split(f"### `{name}({', '.join(macro.parameters)})`\n")[1]
        for column, meaning in macro.columns.items():
            assert f"| `{column}` | {meaning} |" in section, (name, column)
