import re
from pathlib import Path

import pytest

from mixscale.ingest.corpus import RESERVED, domain_names, read_corpus
from mixscale.ingest.presets import LAYOUTS
from mixscale.ingest.readers.decompress import COMPRESSIONS
from mixscale.ingest.readers.registry import AUTO, BUILT_IN
from mixscale.ingest.unit_rows import STATUS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "reference" / "corpus.md"
PAGES = (PAGE, DOCS / "how-to" / "own-corpus.md")
EXAMPLES = [
    example
    for page in PAGES
    for example in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_read(tmp_path: Path, example: str) -> None:
    path = tmp_path / "corpus.yaml"
    path.write_text(example, encoding="utf-8")
    assert domain_names(read_corpus(path))


def test_every_status_is_explained() -> None:
    text = (DOCS / "reference" / "shardset.md").read_text(encoding="utf-8")
    assert all(f"| `{status}` |" in text for status in STATUS)


def test_every_format_ending_and_preset_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| `format` |"))
    endings = {ending for reader in BUILT_IN for ending in reader.endings} | set(COMPRESSIONS)
    assert set(re.findall(r"`\.(\w+)`", row)) == endings
    choices = re.search(r"format: auto +# or (.*)\n", text)
    assert choices is not None
    assert choices[1].split(", ") == [reader.name for reader in BUILT_IN]
    assert f"| `format` | `{AUTO}` |" in text
    assert all(f"| `{name}` |" in text for name in LAYOUTS)
    assert all(f"`{name}`" in text for name in RESERVED)
