from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mixscale.ingest.build import build
from tests.shards.small_shardsets import make_fit, make_runs, make_shardset

REAL_CORPUS = """
preset: redpajama-v1
root: {root}
domains:
  github: {{min_characters: 300}}
  stackexchange: {{}}
  wikipedia: {{filters: ["meta.language == en"]}}
tokenizer: {{train: {{vocab_size: 1024, sample_bytes: 300000}}}}
sequence_length: 512
split: {{validation: 0.05}}
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shard set with runs and a fit, not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "shardset"
    make_shardset(folder)
    make_runs(folder)
    make_fit(folder)
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy of the small shard set, to be changed at will."""
    return shutil.copytree(made, tmp_path / "shardset")


@pytest.fixture(scope="session")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard set built from real text, with the records of made-up runs; not to be changed."""
    folder = tmp_path_factory.mktemp("real")
    config = folder / "corpus.yaml"
    config.write_text(REAL_CORPUS.format(root=shared / "corpus" / "redpajama-mini"))
    build(config, folder / "shardset", workers=1, progress=False)
    domains = ("github", "stackexchange", "wikipedia")
    make_runs(folder / "shardset", domains)
    make_fit(folder / "shardset")
    return folder / "shardset"
