"""Every damaged file of the shared corpus, beside a whole one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build

# File, rows, kept rows, and of the others the row, the status and the start of the detail.
FILES = [
    ("truncated-last-line.jsonl", 5, 4, [(5, "malformed", "not JSON: unexpected end of data")]),
    ("not-json-middle.jsonl", 5, 4, [(3, "malformed", "not JSON: ")]),
    ("invalid-utf8.jsonl", 4, 3, [(3, "malformed", "not UTF-8 at byte ")]),
    ("missing-text.jsonl", 5, 4, [(3, "malformed", "no field 'text'; the record has 'meta'")]),
    ("null-text.jsonl", 5, 4, [(3, "empty", "'text' is null")]),
    ("number-text.jsonl", 5, 4, [(3, "malformed", "'text' is a number, not text")]),
    ("empty-file.jsonl", 0, 0, []),
    ("empty-text.jsonl", 5, 4, [(3, "empty", "the text has no characters")]),
    ("truncated.jsonl.zst", 6, 5, [(6, "malformed", "the zst data ends inside a frame")]),
    ("plain-text-named.jsonl.zst", 1, 0, [(1, "malformed", "not valid zst data")]),
    ("crlf-bom.jsonl", 4, 4, []),
    ("huge-line.jsonl", 1, 1, []),
    ("endoftext-literal.jsonl", 3, 3, []),
    ("nul-characters.jsonl", 3, 3, []),
    ("duplicate-keys.jsonl", 3, 3, []),
]


@pytest.fixture(scope="module")
def everything(
    shared: Path, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "corpus.yaml").write_text(
        f"domains: {{broken: {{paths: {shared}/corpus/broken/*}}}}\n"
        f"tokenizer: {tokenizer_folder}\n"
        "sequence_length: 64\nsplit: {validation: 0}\nduplicates: {scope: none}\n"
    )
    build(folder / "corpus.yaml", folder / "out", workers=2, progress=False)
    return folder / "out"


def test_no_file_is_forgotten(shared: Path) -> None:
    folder = shared / "corpus" / "broken"
    assert {path.name for path in folder.iterdir()} == {name for name, *_ in FILES}


@pytest.mark.parametrize(("name", "rows", "kept", "rejects"), FILES)
def test_rejects_are_located_and_neighbours_kept(
    everything: Path,
    read_built: Callable,
    name: str,
    rows: int,
    kept: int,
    rejects: list[tuple[int, str, str]],
) -> None:
    documents = read_built(everything).documents("broken")
    found = [row for row in documents if row["source_file"].endswith(f"/{name}")]
    assert [row["source_row"] for row in found] == list(range(1, rows + 1))
    assert sum(row["status"] == "kept" for row in found) == kept
    left_out = [row for row in found if row["status"] != "kept"]
    for row, (number, status, detail) in zip(left_out, rejects, strict=True):
        assert (row["source_row"], row["status"]) == (number, status)
        assert row["detail"].startswith(detail)


def test_strict_lists_what_cannot_be_read(
    everything: Path, tmp_path: Path, read_built: Callable
) -> None:
    yaml = everything.parent / "corpus.yaml"
    with pytest.raises(UserError, match=r"7 records cannot be read:(?s:.*)invalid-utf8\.jsonl:3"):
        build(yaml, tmp_path / "out", workers=1, strict=True, progress=False)


@pytest.mark.parametrize(("name", "rows", "kept", "rejects"), FILES)
def test_each_file_alone_under_strict(
    shared: Path,
    write_corpus: Callable,
    tmp_path: Path,
    name: str,
    rows: int,
    kept: int,
    rejects: list[Any],
) -> None:
    corpus = write_corpus(domains={"d": {"paths": f"{shared}/corpus/broken/{name}"}})
    malformed = next((r for r in rejects if r[1] == "malformed"), None)
    if malformed is not None:
        message = f"1 records cannot be read:\n  .*{name}:{malformed[0]}: {malformed[2]}"
    elif rows == 0:
        message = "too little text(?s:.*)d/train: 0 documents with 0 tokens of 0 records read"
    else:
        shardset = build(corpus, tmp_path / "out", workers=1, strict=True, progress=False)
        assert shardset.domains["d"]["train"].documents == kept
        return
    with pytest.raises(UserError, match=message):
        build(corpus, tmp_path / "out", workers=1, strict=True, progress=False)
