import re
from pathlib import Path

import pytest

from mixscale.ingest.corpus import domain_names, read_corpus
from mixscale.ingest.unit_rows import STATUS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "corpus.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_read(tmp_path: Path, example: str) -> None:
    path = tmp_path / "corpus.yaml"
    path.write_text(example, encoding="utf-8")
    assert domain_names(read_corpus(path))


def test_every_status_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{status}` |" in text for status in STATUS)
