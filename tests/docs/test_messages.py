"""Messages and comments that name a page name one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

CODE = (
    "contracts",
    "ingest",
    "shards",
    "train",
    "fit",
    "mixscale",
    "tests",
    "benchmarks",
    "examples",
)
PAGE = re.compile(r"docs/[\w/-]+\.\w+")
FILES = sorted(
    path
    for folder in CODE
    for ending in ("py", "yaml", "sh")
    for path in (ROOT / folder).rglob(f"*.{ending}")
    if not any(part.is_symlink() for part in path.parents)
)


@pytest.mark.parametrize("folder", CODE)
def test_pages_that_code_names_exist(folder: str) -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in FILES
        if path.is_relative_to(ROOT / folder)
        for name in PAGE.findall(path.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_there_are_messages_that_name_a_page() -> None:
    texts = (path.read_text(encoding="utf-8") for path in FILES if "tests" not in Path(path).parts)
    assert any("docs/how-to/" in text for text in texts)
