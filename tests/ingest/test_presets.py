"""Published layouts: what is found below the root, and what is not."""

from collections.abc import Callable
from pathlib import Path

import pytest

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
