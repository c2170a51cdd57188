"""The fenced blocks of the pages, and what the line before each says about it.

A comment before a block says how it is tested:

    <!-- run: FOLDER -->               it is run in a folder of `folders.py`, and must succeed
    <!-- run: FOLDER, first 12 -->     … and shows the first 12 lines that are printed
    <!-- run: FOLDER, last 8 -->       … or the last 8
    <!-- run: FOLDER, status 2 -->     … and is refused
    <!-- record, first 8 -->           … when the page is written: it takes minutes
    <!-- tested: tests/a/test_b.py --> that test reads the block from the page
    <!-- needs: WHAT -->               no test has what it needs

A comment `page tested: PATH, PATH` says the same of all blocks of a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
_BLOCK = re.compile(
    r"(?:^<!-- (?P<kind>run|record|tested|needs):? ?(?P<about>[^\n]*?) ?-->\n+)?"
    r"^```(?P<language>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block, and the comment before it."""

    page: Path
    line: int
    language: str
    body: str
    kind: str | None = None
    about: str = ""
    span: tuple[int, int] = (0, 0)
    """Where the body lies in the page."""

    @property
    def where(self) -> str:
        """The page and the line of its first fence."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def folder(self) -> str:
        """The name of the folder that it is run in."""
        return self.about.split(",")[0].strip()

    def option(self, name: str) -> int | None:
        """The number that goes with a word of the comment, as in `first 12`."""
        found = re.search(rf", {name} (\d+)", self.about)
        return int(found[1]) if found else None


def blocks(page: Path) -> Iterator[Block]:
    """List the blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    whole = re.search(r"^<!-- page tested: (.*) -->$", text, re.MULTILINE)
    for found in _BLOCK.finditer(text):
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            body=found["body"],
            kind=found["kind"] or ("tested" if whole else None),
            about=found["about"] or (whole[1] if whole else ""),
            span=found.span("body"),
        )


def commands(block: Block) -> Iterator[str]:
    """The commands of a block, each with its continued lines; comments behind them are left out."""
    if block.language == "console":
        yield from (one.removeprefix("$ ").replace("\\\n", " ") for one in typed(block))
        return
    for line in block.body.replace("\\\n", " ").splitlines():
        command = re.sub(r"\s+# .*", "", line).strip()
        if command and not command.startswith("#"):
            yield command


def typed(block: Block) -> list[str]:
    """The commands of a console block as they stand there, prompts and continued lines included."""
    found: list[str] = []
    goes_on = False
    for line in block.body.splitlines():
        if line.startswith("$ "):
            found.append(line)
        elif goes_on:
            found[-1] += "\n" + line
        else:
            continue
        goes_on = line.endswith("\\") or found[-1].count('"') % 2 == 1
    return found
