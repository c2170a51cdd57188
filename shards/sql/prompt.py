"""The interactive SQL prompt: history, completion, statements over several lines."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

from mixscale.contracts.errors import UserError
from mixscale.shards.sql.examples import EXAMPLES
from mixscale.shards.sql.macros import MACROS
from mixscale.shards.sql.views import VIEWS

KEYWORDS = (
    "SELECT FROM WHERE GROUP BY ALL ORDER LIMIT JOIN LEFT USING ON AS AND OR NOT NULL IS IN "
    "BETWEEN LIKE DISTINCT HAVING UNION WITH CASE WHEN THEN ELSE END DESC ASC OVER PARTITION "
    "QUALIFY FILTER DESCRIBE SUMMARIZE SHOW TABLES EXPLAIN "
    "count sum avg min max median quantile_cont round"
)
COMMANDS = ("help", "examples", "exit", "quit")
_WORD = re.compile(r"[A-Za-z0-9_.]+$")


class SqlCompleter(Completer):
    """Completes tables, columns, macros and keywords; after `table.`, that table's columns."""

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Offer the words that begin like the one at the cursor."""
        before = document.text_before_cursor
        match = _WORD.search(before)
        if match is None:
            return
        table, dot, word = match[0].rpartition(".")
        words = VIEWS[table].columns if dot and table in VIEWS else _words(document.text)
        for candidate, meaning in words.items():
            if candidate.lower().startswith(word.lower()):
                yield Completion(candidate, -len(word), display_meta=meaning)


def run_prompt(answer: Callable[[str], object], name: str) -> None:
    """Read statements, each up to its semicolon, and answer each until the end of input.

    Args:
        answer: Runs one statement and shows its result; a UserError of it is shown.
        name: What the prompt is about, for its first line.
    """
    print(f"{name}: {', '.join(VIEWS)}")
    print("End a query with ; and Enter. Also: help, examples, exit (or Ctrl-D).")
    session = _session()
    while True:
        try:
            text = session.prompt("sql> ").strip()
            if text.rstrip(";").strip().lower() in ("exit", "quit"):
                return
            _respond(text, answer)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def is_complete(text: str) -> bool:
    """Whether Enter ends the input: at a semicolon, a command, or an empty line."""
    stripped = text.strip()
    return not stripped or stripped.endswith(";") or stripped.lower() in COMMANDS


def history_path() -> Path:
    """Name the file that keeps the statements between sessions (XDG base directories)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "mixscale" / "sql-history"


def _respond(text: str, answer: Callable[[str], object]) -> None:
    command = text.rstrip(";").strip().lower()
    if command == "help":
        print(_help())
    elif command == "examples":
        print("\n\n".join(f"-- {e.question}\n{e.sql};" for e in EXAMPLES.values()))
    elif command:
        try:
            answer(text)
        except UserError as error:
            print(error)


def _session() -> PromptSession[Any]:
    path = history_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    session: PromptSession[Any] = PromptSession(
        history=FileHistory(str(path)),
        completer=SqlCompleter(),
        complete_while_typing=False,
        lexer=PygmentsLexer(SqlLexer),
        prompt_continuation="...> ",
    )
    session.multiline = Condition(lambda: not is_complete(session.default_buffer.text))
    return session


def _words(text: str) -> dict[str, str]:
    """List what may stand anywhere, the columns of the tables in `text` before all others."""
    used = [name for name in VIEWS if re.search(rf"\b{name}\b", text)]
    words: dict[str, str] = {}
    for name in [*used, *(name for name in VIEWS if name not in used)]:
        for column, meaning in VIEWS[name].columns.items():
            words.setdefault(column, meaning)
    words |= {name: view.row for name, view in VIEWS.items()}
    words |= {f"{name}(": macro.answers for name, macro in MACROS.items()}
    return words | dict.fromkeys(KEYWORDS.split(), "") | dict.fromkeys(COMMANDS, "")


def _help() -> str:
    lines = [f"{name}: {view.row}" for name, view in VIEWS.items()]
    lines += [f"{n}({', '.join(m.parameters)}): {m.answers}" for n, m in MACROS.items()]
    return "\n".join([*lines, "DESCRIBE <table>; lists its columns."])
