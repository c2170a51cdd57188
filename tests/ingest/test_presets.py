"""Published layouts: what is found below the root, and what is not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mixscale.contracts.errors import UserError
from mixscale.ingest.corpus import read_corpus
from mixscale.ingest.readers.find_files import find_files

LAYOUTS = {
    "pile": (
        ["train/00.jsonl.zst", "train/29.jsonl.zst"],
        ["val.jsonl.zst", "test.jsonl.zst", "SHA256SUMS.txt"],
        {"wikipedia": {}},
    ),
    "slimpajama": (
        ["train/chunk1/a_0.jsonl.zst", "data/train-00000-of-00048.parquet"],
        [
            "test/chunk1/a_0.jsonl.zst",
            "validation/chunk1/a.jsonl.zst",
            "data/test-00000-of-00001.parquet",
            "data/validation-00000-of-00001.parquet",
        ],
        {"c4": {}},
    ),
    "redpajama-v1-sample": (
        ["arxiv_sample.jsonl", "cc_2019-30_sample.jsonl", "cc_2023-06_sample.jsonl"],
        ["README.md"],
        {"arxiv": {}, "common_crawl": {}},
    ),
    "dolma": (
        [
            "arxiv-0000.json.gz",
            "c4-filtered/c4-0170.json.gz",
            "cc_news_middle/cc_news_middle-0000.json.gz",
            "dolma-v1_7/falcon-refinedweb-filtered/falcon-0001.json.gz",
            "wiki/wiki-0000.json.gz",
            "wiki/wiki-0001.json.gz",
        ],
        ["README.md", "stackexchange/stackexchange-0000.json.gz", "megawika-0000.json.gz"],
        {"arxiv": {}, "c4": {}, "cc_news": {}, "refinedweb": {}, "wiki": {}},
    ),
    "dclm": (
        ["global-shard_01_of_10/local-shard_0_of_10/shard_00000000_processed.jsonl.zst"],
        ["README.md"],
        {},
    ),
    "fineweb": (
        ["data/CC-MAIN-2024-10/000_00000.parquet", "sample/10BT/000_00000.parquet"],
        ["README.md"],
        {},
    ),
}


@pytest.mark.parametrize("preset", LAYOUTS)
def test_what_is_read(preset: str, tmp_path: Path, write_corpus: Callable) -> None:
    read, others, domains = LAYOUTS[preset]
    for name in [*read, *others]:
        path = tmp_path / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    corpus = read_corpus(write_corpus(preset=preset, root="test", domains=domains))
    assert sorted(file.name for file in find_files(corpus, tmp_path)) == sorted(read)


def test_a_part_that_is_not_there_is_named(tmp_path: Path, write_corpus: Callable) -> None:
    (tmp_path / "dolma" / "wiki").mkdir(parents=True)
    (tmp_path / "dolma" / "wiki" / "wiki-0000.json.gz").write_text("x")
    corpus = read_corpus(write_corpus(preset="dolma", root="dolma"))
    assert "stack" not in corpus.domains
    message = r"domains\.algebraic_stack\.paths: no file .*; name the domains to read"
    with pytest.raises(UserError, match=message):
        find_files(corpus, tmp_path)


def test_dolma_is_read_as_lines(tmp_path: Path, write_corpus: Callable) -> None:
    (tmp_path / "wiki-0000.json.gz").write_text("x")
    corpus = read_corpus(write_corpus(preset="dolma", root=".", domains={"wiki": {}}))
    assert [file.format for file in find_files(corpus, tmp_path)] == ["jsonl"]
