"""The recipes of the page on extending, done word by word."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "extending.md"
BUILD = """
import sys
from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build

if __name__ == "__main__":
    try:
        build(sys.argv[1], sys.argv[2], workers=2, progress=False)
    except UserError as error:
        sys.exit(f"UserError: {error}")
"""


def recipe(title: str) -> list[str]:
    """The blocks of code of a recipe."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)


def install(folder: Path, name: str, module: str, points: Mapping[str, str]) -> None:
    """Lay out a package as pip does: its module, and what it says about itself."""
    package = name.replace("-", "_")
    information = folder / f"{package}-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / f"{package}.py").write_text(module)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in points.items()]
    (information / "entry_points.txt").write_text("\n".join(["[mixscale.readers]", *lines, ""]))


def run(program: str, *arguments: object, path: list[Path], folder: Path) -> str:
    """Run a program that finds modules in some folders; return what it says when it fails."""
    file = folder / "program" / "program.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(program)
    ended = subprocess.run(
        [sys.executable, str(file), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if ended.returncode == 0 else ended.stderr


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """The folder of an environment that has the package of the recipe."""
    module, project = recipe("Add an input format")
    names = dict(re.findall(r'^(\w+) = "(.*)"$', project, re.MULTILINE))
    folder = tmp_path / "site-packages"
    install(folder, names["name"], module, {"paragraphs": names["paragraphs"]})
    return folder


TEXTS = [f"paragraph {n}\nof some words and the number {n * n}" for n in range(40)]


def write_paragraphs(path: Path) -> None:
    path.write_bytes("\n\n".join(TEXTS).encode() + b"\n\nbroken \xff")


@pytest.mark.parametrize("settings", [{}, {"format": "paragraphs"}])
def test_a_format_from_another_package_is_read_by_worker_processes(
    tmp_path: Path,
    outside: Path,
    write_corpus: Callable,
    read_built: Callable,
    settings: dict[str, Any],
) -> None:
    name = "b.txt" if settings else "b.para"
    write_paragraphs(tmp_path / name)
    corpus = write_corpus(domains={"p": {"paths": name, **settings}})
    out = tmp_path / "out"
    assert run(BUILD, corpus, out, path=[REPOSITORY, outside], folder=tmp_path) == ""
    built = read_built(out)
    built.check_stream("p", "train", {(name, n): text for n, text in enumerate(TEXTS, start=1)})
    last = built.documents("p")[-1]
    assert (last["status"], last["source_row"]) == ("malformed", 41)
    assert last["detail"] == "not UTF-8 at byte 8 of the paragraph"


def test_without_the_package_the_format_is_unknown(tmp_path: Path, write_corpus: Callable) -> None:
    write_paragraphs(tmp_path / "b.para")
    domain = {"paths": "b.para", "format": "paragraphs"}
    corpus = write_corpus(domains={"p": domain})
    failed = run(BUILD, corpus, tmp_path / "out", path=[REPOSITORY], folder=tmp_path)
    assert re.search(r"UserError: .*domains\.p\.format: .*unknown format 'paragraphs'", failed)


READER = "from mixscale.ingest.readers.base import Reader\n"


@pytest.mark.parametrize(
    ("module", "points", "message"),
    [
        (
            READER + "R = Reader(name='jsonl', endings=('other',), read=iter)",
            {"jsonl": "clash:R"},
            "the format 'jsonl' of clash 1.0 is also that of mixscale",
        ),
        (
            READER + "R = Reader(name='mine', endings=('parquet',), read=iter)",
            {"mine": "clash:R"},
            r"the ending \.parquet of the format 'mine' \(clash 1\.0\) is also that of "
            r"the format 'parquet' \(mixscale\)",
        ),
        (
            READER + "R = Reader(name='paragraphs', endings=('other',), read=iter)",
            {"paragraphs": "clash:R"},
            r"the format 'paragraphs' of .* is also that of .* 1\.0; uninstall one of them",
        ),
        (
            READER + "R = Reader(name='mine', endings=('gz',), read=iter)",
            {"mine": "clash:R"},
            r"the ending \.gz .* is also that of a compression",
        ),
        (
            READER + "R = Reader(name='mine', endings=('x',), read=iter)",
            {"yours": "clash:R"},
            r"reader 'yours' of clash 1\.0 \(clash:R\): expected .* the name 'yours', "
            "found one named 'mine'",
        ),
        (
            "import no_such_module",
            {"mine": "clash:R"},
            r"reader 'mine' of clash 1\.0 \(clash:R\): cannot be loaded: ModuleNotFoundError: No "
            "module named 'no_such_module'; fix or uninstall clash",
        ),
    ],
)
def test_what_another_package_does_wrong_is_refused(
    tmp_path: Path,
    outside: Path,
    write_corpus: Callable,
    write_lines: Callable,
    module: str,
    points: dict[str, str],
    message: str,
) -> None:
    install(outside, "clash", module, points)
    write_lines("a.jsonl", [{"text": "a"}])
    corpus = write_corpus(domains={"a": {"paths": "a.jsonl"}})
    failed = run(BUILD, corpus, tmp_path / "out", path=[REPOSITORY, outside], folder=tmp_path)
    assert re.search(f"^UserError: .*{message}", failed, re.MULTILINE), failed


def copy_with_column(folder: Path) -> Path:
    """Copy the package, and do the recipe for a column in the copy."""
    for name in ("mixscale", "ingest", "shards", "contracts"):
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True)
    (column,) = recipe("Add a column of `documents`")
    path = folder / "shards" / "sql" / "documents.py"
    text = path.read_text()
    start = text.index("COLUMNS = (")
    end = text.index("\n)\n", start) + 1
    path.write_text(text[:end] + column.rstrip() + ",\n" + text[end:])
    return folder


QUERY = """
import sys
from pathlib import Path
from mixscale.shards.sql.query import run_sql

run_sql(Path(sys.argv[1]), sys.argv[2], format="json", output=Path(sys.argv[3]))
"""


def test_a_column_is_added_in_one_place(
    tmp_path: Path,
    write_corpus: Callable,
    write_lines: Callable,
    read_built: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Built, grown from a shard set without it, grown with it; and asked for in SQL."""
    texts = [f"{n} words\n" * (1 + n % 4) + f"and {n}" for n in range(60)]
    corpus = write_corpus(domains={"a": {"paths": "a/*"}})
    out, package = tmp_path / "out", copy_with_column(tmp_path / "package")
    write_lines("a/1.jsonl", [*({"text": text} for text in texts[:30]), "broken"])
    for path, last in ((REPOSITORY, 30), (package, 45), (package, 60)):
        if last > 30:
            write_lines(f"a/{last}.jsonl", [{"text": text} for text in texts[last - 15 : last]])
        assert run(BUILD, corpus, out, path=[path], folder=tmp_path) == ""
        rows = read_built(out).documents("a")
        assert len(rows) == last + 1
        assert ("lines" in rows[0]) == (path is package)
    found = {(r["source_file"], r["source_row"]): r["lines"] for r in rows}
    expected = {("a/1.jsonl", n): len(t.split("\n")) for n, t in enumerate(texts[:30], start=1)}
    for last in (45, 60):
        for n, text in enumerate(texts[last - 15 : last], start=1):
            expected[f"a/{last}.jsonl", n] = len(text.split("\n"))
    assert found == {**expected, ("a/1.jsonl", 31): None}
    answer = tmp_path / "answer.json"
    sql = "SELECT sum(lines) AS lines FROM documents"
    assert run(QUERY, out, sql, answer, path=[package], folder=tmp_path) == ""
    assert json.loads(answer.read_text()) == [{"lines": sum(expected.values())}]
    # The index names files relative to the shard set.
    monkeypatch.chdir(out)
    with duckdb.connect("index.duckdb", read_only=True) as index:
        meaning = index.execute(
            "SELECT comment FROM duckdb_columns() "
            "WHERE table_name = 'documents' AND column_name = 'lines'"
        ).fetchone()
    assert meaning == ("lines of the text, from 1; null when there is no text",)
