"""The pages name files, modules and sections that exist, in words that a newcomer knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
DOCUMENTATION = sorted(ROOT.glob("docs/**/*.md"))
FOLDERS = (
    "contracts", "ingest", "shards", "train", "fit", "mixscale", "tests", "benchmarks", "examples",
    "docs",
)  # fmt: skip
TEXTS = {".py", ".md", ".yaml", ".yml", ".toml", ".svg", ".sh", ".txt"}
OTHER_FILES = (
    # Of a shard set, or of the pages' own examples.
    r"train/shard\.",
    r"examples/.*/out/",
)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
PATH = re.compile(rf"(?<![\w/.:-])(?:{'|'.join(FOLDERS)})/[\w./-]*")
MODULE = re.compile(r"(?<![\w./-])mixscale(?:\.[A-Za-z_]\w*)+")


def without_code(text: str) -> str:
    """The prose of a page."""
    return CODE.sub("", FENCE.sub("", text))


def anchors(page: Path) -> set[str]:
    """The names by which links reach the headings of a page."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", title.replace("`", "")).strip().lower() for title in titles]
    return {re.sub(r"[-\s]+", "-", title) for title in plain}


def by_page(paths: list[Path]) -> list:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


@pytest.mark.parametrize("page", by_page(PAGES))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def quoted(page: Path) -> Iterator[str]:
    """Code of a page: what stands in backticks, and its blocks."""
    text = page.read_text(encoding="utf-8")
    yield from FENCE.findall(text)
    yield from CODE.findall(FENCE.sub("", text))


def is_pattern(path: str, code: str) -> bool:
    """Whether a path stands for several, or for one that a user chooses."""
    rest = code[code.index(path) + len(path) :]
    return rest[:1] in set("*<{…") or any(re.match(pattern, path) for pattern in OTHER_FILES)


@pytest.mark.parametrize("page", by_page(PAGES))
def test_every_path_of_the_repository_exists(page: Path) -> None:
    named = {
        found.rstrip(".")
        for code in quoted(page)
        for found in PATH.findall(code)
        if not is_pattern(found, code)
    }
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def exists(name: str) -> bool:
    """Whether a name is a module, or something that a module defines."""
    try:
        if find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    module, _, attribute = name.rpartition(".")
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        return False
    if found is None or found.origin is None:
        return False
    # Read, not imported: training modules need PyTorch.
    definition = rf"^(?:class|def) {attribute}\b|^{attribute}\b.*="
    return re.search(definition, Path(found.origin).read_text(), re.MULTILINE) is not None


@pytest.mark.parametrize("page", by_page(PAGES))
def test_every_module_can_be_found(page: Path) -> None:
    named = {name for code in quoted(page) for name in MODULE.findall(code)}
    # Groups of entry points are no modules.
    groups = {"mixscale.laws", "mixscale.readers", "mixscale.metrics"}
    assert [name for name in sorted(named - groups) if not exists(name)] == []


def test_the_pages_are_all_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([\w/-]+\.md)$", navigation, re.MULTILINE))
    assert named == {str(page.relative_to(ROOT / "docs")) for page in DOCUMENTATION}


PRIVATE_WORDS = {
    "door": r"doors?",
    "house": r"houses?",
    "room, for a package": r"rooms|(?:the|a|each|every|one|next|training) room",
    "story": r"story|stories",
    "luck": r"(?:un)?luck(?:y|ier|iest|ily)?",
    "broom": r"brooms?",
    "crew": r"crews?",
    "hear": r"hears?|heard|hearing",
    "witness": r"witness(?:es|ed)?",
    "judge": r"judg(?:e|es|ed|ing|ment)",
    "tally": r"tally|tallies",
    "temper": r"temper(?:s|ed)?",
    "carry a mixture": (
        r"carr(?:y|ies|ied|ying) (?:\w+ ){0,4}(?:mixture|optimum|shares?)|carried (?:on|to)"
    ),
    "bear out": r"bears? out|borne out|evidence bears",
    "silent": r"silent",
    "unclear": r"unclear",
}
ALLOWED = {
    # Names of fields in records of earlier versions, which are still read.
    ("contracts/fit_record.py", "silent"),
    ("contracts/fit_record.py", "unclear"),
    # A field that records of published corpora have.
    ("mixscale/propose/fields.py", "story"),
}


def sources() -> list[Path]:
    """Every text of the repository but this list and data."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [
            path
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ]
    texts = [path for path in found if path.suffix in TEXTS or path.name == "Makefile"]
    return [path for path in texts if path != Path(__file__).resolve()]


@pytest.mark.parametrize("word", PRIVATE_WORDS)
def test_private_words_do_not_occur(word: str) -> None:
    # An underscore ends a word, too: `judge_runs` is as private as `judge`.
    pattern = re.compile(
        rf"(?<![A-Za-z0-9])(?:{PRIVATE_WORDS[word]})(?![A-Za-z0-9])", re.IGNORECASE
    )
    found = []
    for path in sources():
        name = str(path.relative_to(ROOT))
        if (name, word) in ALLOWED:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    assert found == []
