"""Shard sets from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import mixscale as ms
from tests.shards.small_shardsets import DOMAINS, make_runs, make_shardset

CORPUS = """\
domains: {prose: {paths: [prose.jsonl]}}
tokenizer: {train: {vocab_size: 300}}
sequence_length: 32
split: {validation: 0.2}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "shardset"
    make_shardset(folder)
    make_runs(folder)
    return folder


def test_a_query_gives_every_kind_of_table(made: Path) -> None:
    rows = ms.query(
        made, "SELECT domain, tokens FROM domains WHERE split = 'train' ORDER BY domain"
    )
    assert rows.columns == ("domain", "tokens")
    assert rows.arrow().column("domain").to_pylist() == sorted(DOMAINS)
    tokens = rows.arrow().column("tokens").to_pylist()
    assert min(tokens) > 0
    assert rows.df()["tokens"].tolist() == rows.pl()["tokens"].to_list() == tokens
    assert [row["domain"] for row in rows.rows()] == sorted(DOMAINS)


def test_runs_elsewhere_are_seen(made: Path, tmp_path: Path) -> None:
    count = "SELECT count(DISTINCT run_id) AS runs FROM run_domains"
    assert ms.query(made, count).rows()[0]["runs"] > 0
    assert ms.query(str(made), count, out=tmp_path).rows() == [{"runs": 0}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT token FROM domains", "tokens"),
        ("DROP VIEW domains", "queries here can only read"),
        ("SELECT domain, split AS domain FROM domains", "columns named twice: domain"),
    ],
)
def test_a_wrong_query_is_a_user_error(made: Path, sql: str, message: str) -> None:
    with pytest.raises(ms.UserError, match=message):
        ms.query(made, sql)


def test_a_build_can_be_asked_and_used_as_a_path(tmp_path: Path) -> None:
    lines = (f'{{"text": "{f"Document {n} tells of {n * 7919}. " * 12}"}}\n' for n in range(60))
    (tmp_path / "prose.jsonl").write_text("".join(lines))
    (tmp_path / "corpus.yaml").write_text(CORPUS)
    built = ms.build(tmp_path / "corpus.yaml", tmp_path / "shardset", workers=1)
    assert built.path == tmp_path / "shardset"
    tokens = built.query("SELECT sum(tokens) AS tokens FROM domains").rows()[0]["tokens"]
    assert tokens == sum(split.tokens for split in built.record.domains["prose"].values())
    assert ms.query(built, "SELECT count(*) AS records FROM documents").rows() == [{"records": 60}]
    assert "<td>prose</td>" in built._repr_html_()


def test_an_address_that_nothing_writes_to_stops_before_the_build(tmp_path: Path) -> None:
    with pytest.raises(ms.UserError, match="ftp://x: Streaming cannot write there"):
        ms.build(tmp_path / "corpus.yaml", tmp_path / "shardset", upload="ftp://x")
