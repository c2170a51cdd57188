from __future__ import annotations

from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from mixscale.shards.sql.prompt import SqlCompleter, history_path, is_complete
from mixscale.shards.sql.query import prompt


def typed(text: str, folder: Path) -> None:
    """Hold a session at the prompt in which `text` is typed."""
    with create_pipe_input() as keyboard:
        keyboard.send_text(text)
        with create_app_session(input=keyboard, output=DummyOutput()):
            prompt(folder)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_queries_end_at_a_semicolon(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("SELECT count(*) AS n\rFROM documents;\rexit\r", made)
    out = capsys.readouterr().out
    assert "180" in out
    assert "1 row" in out


def test_mistakes_do_not_end_the_session(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("FROM nowhere;\rDROP VIEW runs;\rSELECT 6 * 7;\rquit;\r", made)
    out = capsys.readouterr().out
    assert "Tables: shardset" in out
    assert "DROP: refused" in out
    assert "42" in out


def test_interrupt_clears_and_end_of_input_leaves(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed("SELECT 1\x03SELECT 6 * 7;\r\x04", made)
    out = capsys.readouterr().out
    assert "42" in out


def test_help_and_examples(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("help\rexamples;\r\x04", made)
    out = capsys.readouterr().out
    assert "documents: an input record, whatever became of it" in out
    assert "samples_of_document(of_doc_id): " in out
    assert "-- How many training tokens does each domain have?" in out


def test_history_is_kept_between_sessions(made: Path, state: Path) -> None:
    typed("SELECT 'first session';\r\x04", made)
    assert history_path() == state / "mixscale" / "sql-history"
    assert "first session" in history_path().read_text()


@pytest.mark.parametrize(
    ("text", "complete"),
    [("", True), ("SELECT 1", False), ("SELECT 1;", True), ("SELECT ';'\n", False), ("help", True)],
)
def test_where_a_statement_ends(text: str, complete: bool) -> None:
    assert is_complete(text) == complete


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT tok", "tokens"),
        ("FROM dom", "domains"),
        ("from documents select documents.first_o", "first_offset"),
        ("FROM samp", "samples_of_document("),
        ("sel", "SELECT"),
        ("SELECT bits", "bits_per_byte"),
    ],
)
def test_completion(text: str, expected: str) -> None:
    found = SqlCompleter().get_completions(Document(text), CompleteEvent())
    assert expected in [completion.text for completion in found]


def test_completion_after_a_table_offers_its_columns_alone() -> None:
    document = Document("SELECT fits.")
    found = [c.text for c in SqlCompleter().get_completions(document, CompleteEvent())]
    assert found == ["fit_id", "law", "objective", "fit"]
    assert not list(SqlCompleter().get_completions(Document("SELECT "), CompleteEvent()))
