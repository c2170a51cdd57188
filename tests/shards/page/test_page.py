"""The page of a shard set: what it says, and whether people can read it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mixscale as ms
from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import read_shardset
from mixscale.ingest.build import build
from mixscale.shards.page.contents import gather
from mixscale.shards.page.page import report
from mixscale.shards.sql.query import query_arrow
from mixscale.shards.verify.verify import verify
from tests.browser import Browser, find_browser

CORPUS = """\
domains:
  prose: {paths: [prose.jsonl], min_characters: 30}
  code: {paths: [code.jsonl]}
  <b>: {paths: [nasty.jsonl]}
tokenizer: {train: {vocab_size: 320}}
sequence_length: 32
split: {validation: 0.2}
duplicates: {near: true}
shards: {compression: zstd}
""".replace("<b>", "nasty")

NASTY = "<script>alert('x')</script> & \u0000\u001b[31m שלום \u2028 <img src=http://example.org/x>"


def lines(name: str, count: int) -> list[str]:
    return [
        json.dumps({"text": f"{name} {n} tells of {n * 7919} and of {n * n * 31}. " * 9, "id": n})
        for n in range(count)
    ]


def write_corpus(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    prose, code = lines("prose", 150), lines("code", 150)
    prose += ['{"text": "short", "id": "<i>7</i>"}', "not json", '{"id": 1}', '{"text": ""}']
    code += [prose[0], prose[1], code[5], "{"]
    nasty = [json.dumps({"text": f"{NASTY} {n} {n * 7919} " * 9}) for n in range(150)]
    for name, records in (("prose", prose), ("code", code), ("nasty", nasty)):
        (folder / f"{name}.jsonl").write_text("\n".join(records) + "\n", encoding="utf-8")
    (folder / "corpus.yaml").write_text(CORPUS)
    return folder / "corpus.yaml"


@pytest.fixture(scope="module")
def shardset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    build(write_corpus(folder), folder / "shardset", workers=1)
    return folder / "shardset"


@pytest.fixture(scope="module")
def page(shardset: Path) -> str:
    return report(shardset).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return find_browser(tmp_path_factory.mktemp("browser"))


def words(text: str) -> str:
    """The text of a page without its marks, white space made single."""
    text = re.sub(r"<style>.*?</style>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def sections(page: str) -> dict[str, str]:
    """The sections by their heading."""
    found = re.split(r"<h2[^>]*>(.*?)</h2>", page)
    return {words(title): words(body) for title, body in zip(found[1::2], found[2::2], strict=True)}


def test_numbers_are_those_of_the_index(shardset: Path, page: str) -> None:
    found = sections(page)
    records = query_arrow(
        shardset, "SELECT domain, status, count(*) AS n FROM documents GROUP BY ALL"
    ).to_pylist()
    counts = {(row["domain"], row["status"]): row["n"] for row in records}
    assert counts["code", "duplicate"] == 3
    table = found["What became of the records"]
    prose = re.search(r"prose (\d+) (\d+) ", table)
    assert prose is not None
    assert int(prose[1]) == sum(n for (domain, _), n in counts.items() if domain == "prose")
    assert int(prose[2]) == counts["prose", "kept"]
    summary = read_shardset(shardset)
    for name, splits in summary.domains.items():
        row = re.search(rf"\b{name} [\d.]+ % (\S+) tokens (\d+) (\d+)", found["Domains"])
        assert row is not None, found["Domains"]
        assert (int(row[2]), int(row[3])) == (
            splits["train"].documents, splits["validation"].documents,
        )  # fmt: skip


def test_reasons_with_a_place_for_each(page: str) -> None:
    text = sections(page)["Why records were left out"]
    assert "prose no field 'text'; the record has 'id' malformed 1 prose.jsonl:153" in text
    assert "… characters, fewer than 30 too short 1 prose.jsonl:151" in text
    assert "FROM rejects" in text
    # Escaped: the other fields of a record are shown as they are.
    assert '"id":"<i>7</i>"' in text


def test_duplicates_within_and_between_domains(shardset: Path, page: str) -> None:
    copies = gather(shardset).copies
    expected = query_arrow(
        shardset, "SELECT domain, kept_domain, count(*) AS n, sum(bytes) AS b FROM duplicates "
        "GROUP BY ALL",
    ).to_pylist()  # fmt: skip
    assert copies == {(r["domain"], r["kept_domain"]): (r["n"], int(r["b"])) for r in expected}
    assert {("code", "prose"), ("code", "code")} <= set(copies)
    assert "code.jsonl:151" in sections(page)["Duplicates"]
    assert re.search(r"left out code.jsonl:151 stays prose.jsonl:1\b", sections(page)["Duplicates"])


def test_texts_are_those_of_the_input(shardset: Path) -> None:
    contents = gather(shardset)
    assert set(contents.samples) == {"prose", "code", "nasty"}
    folder = shardset.parent
    for domain, samples in contents.samples.items():
        assert len(samples) == 4
        records = (folder / f"{domain}.jsonl").read_text(encoding="utf-8").split("\n")
        for sample in samples:
            row = int(sample.document.place.rpartition(":")[2])
            assert json.loads(records[row - 1])["text"] == sample.text


def test_the_same_bytes_again(shardset: Path, page: str, tmp_path: Path) -> None:
    other = report(shardset, tmp_path / "new" / "page.html")
    assert other.read_text(encoding="utf-8") == page


def test_nothing_of_a_text_becomes_markup(page: str) -> None:
    assert "<script" not in page
    assert "<img" not in page
    assert "alert(&#39;x&#39;)" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", page)


def test_a_page_does_no_harm_to_the_shard_set(shardset: Path, page: str) -> None:
    assert verify(shardset).problems == ()
    before = (shardset / "shardset.json").read_bytes()
    build(shardset.parent / "corpus.yaml", shardset, workers=1)
    assert (shardset / "shardset.json").read_bytes() == before


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_people_can_read_it(
    shardset: Path, page: str, browser: Browser, width: int, dark: bool
) -> None:
    seen = browser.look(shardset / "report.html", width=width, dark=dark)
    assert (seen.width, seen.dark) == (width, dark)
    assert seen.serious == []
    assert seen.requests == []
    assert seen.overflow == 0
    assert "color-contrast" in seen.passes


def test_it_prints(shardset: Path, page: str, browser: Browser) -> None:
    assert 1 <= browser.printed_pages(shardset / "report.html") <= 6


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    corpus = write_corpus(tmp_path)
    corpus.write_text(CORPUS.replace("sequence_length: 32", "sequence_length: 100000"))
    with pytest.raises(UserError, match="too little text"):
        build(corpus, tmp_path / "out", workers=1)
    return tmp_path / "out"


def test_a_build_that_refused_its_input(refused: Path, browser: Browser) -> None:
    page = report(refused)
    text = words(page.read_text(encoding="utf-8"))
    assert "The build refused its input" in text
    assert "no field 'text'; the record has 'id'" in text
    assert "Texts" not in sections(page.read_text(encoding="utf-8"))
    assert browser.look(page, width=360).serious == []
    corpus = refused.parent / "corpus.yaml"
    corpus.write_text(CORPUS)
    build(corpus, refused, workers=1)
    assert "Texts" in sections(report(refused).read_text(encoding="utf-8"))


def test_warnings(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path)
    with (tmp_path / "prose.jsonl").open("a") as stream:
        stream.write("damaged\n" * 200)
        stream.write(json.dumps({"text": "one very long text of its own " * 9000}) + "\n")
    (tmp_path / "code.jsonl").write_text("\n".join(lines("prose", 140) + lines("code", 40)))
    build(corpus, tmp_path / "out", workers=1)
    text = words(report(tmp_path / "out").read_text(encoding="utf-8"))
    for title in (
        "Much was left out : prose 57 % of 355 records, mostly malformed: not JSON",
        "Much of the text repeats other text : code",
        "One document is a large part of its domain : prose",
        "Little is held out for validation : prose",
    ):
        assert title in text


def test_a_shard_set_without_faults_says_so(tmp_path: Path) -> None:
    settings = CORPUS.replace(", min_characters: 30", "").replace("0.2", "0.3")
    corpus = write_corpus(tmp_path)
    corpus.write_text(settings)
    for name in ("prose", "code", "nasty"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines(name, 2500)))
    build(corpus, tmp_path / "out", workers=1)
    assert "Nothing odd was found." in report(tmp_path / "out").read_text(encoding="utf-8")


def test_damage_costs_the_texts_and_not_the_page(shardset: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(shardset, tmp_path / "copy")
    for shard in (copy / "prose" / "train").glob("*.mds*"):
        shard.write_bytes(b"damaged")
    text = words(report(copy).read_text(encoding="utf-8"))
    assert "Some texts cannot be read back: prose" in text
    (copy / "tokenizer" / "tokenizer.json").write_text("{}")
    assert "the tokenizer cannot be read" in words(report(copy).read_text(encoding="utf-8"))
    damaged = next((copy / "documents" / "prose").glob("*.parquet"))
    damaged.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"cannot read its documents.*mixscale verify"):
        report(copy)


def test_small_sets_of_every_kind(copied: Path) -> None:
    """Random tokens, more domains than a table has columns for, and no documents at all."""
    assert "Domains" in sections(report(copied).read_text(encoding="utf-8"))
    shutil.rmtree(copied / "documents")
    assert "Domains" in sections(report(copied).read_text(encoding="utf-8"))


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mixscale", "report", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command(shardset: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages" / "set.html"
    done = command(shardset, "--out", out, "--json")
    assert json.loads(done.stdout) == {"report": str(out)}
    assert out.is_file()


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda folder: None, [], "neither a shard set (shardset.json) nor a fit (fit.json)"),
        (lambda folder: folder.rmdir(), [], "no such folder"),
        (lambda folder: (folder / ".build").mkdir(), [], "not a finished shard set"),
        (
            lambda folder: ((folder / "a").mkdir(), (folder / "a" / "fit.json").write_text("{}")),
            [],
            "choose one, such as",
        ),
        (lambda folder: (folder / "fit.json").write_text("{}"), ["--out", "x"], "--out: only"),
        (lambda folder: (folder / ".build").mkdir(), ["--compare", "x"], "--compare: only"),
    ],
)
def test_what_is_neither(
    tmp_path: Path, make: Callable[[Path], object], arguments: list[str], message: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder)
    done = command(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_from_python(shardset: Path, tmp_path: Path) -> None:
    page = ms.report(shardset, tmp_path / "page.html")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(UserError, match="neither"):
        ms.report(tmp_path)
