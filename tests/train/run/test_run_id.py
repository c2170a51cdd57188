"""What a run id depends on, and what not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from streaming import MDSWriter, StreamingDataset

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.run.run_id import content_of, run_id
from tests.train.object_store import ObjectStore


def id_of(values: dict[str, Any], **changes: Any) -> str:
    config = validate({**values, **changes}, RunConfig, "test")
    return run_id(config, content_of(config))


def test_ids_of_earlier_records_stay(run_values: dict[str, Any]) -> None:
    """The id that this config had before callbacks and folders counted."""
    assert id_of(run_values) == "run-d4f33be1d5"


@pytest.mark.parametrize(
    "changes",
    [
        {"callbacks": {"threshold_stopper": {"monitor": "loss", "threshold": 4.0}}},
        {"callbacks": {"early_stopper": {"monitor": "loss", "patience": "2ba"}}},
        {"callbacks": {"some.module.Callback": None}},
        {"algorithms": {}},
        {"algorithms": {"label_smoothing": {"smoothing": 0.1}}},
        {"eval_loader": []},
        {"eval_first": True},
        {"eval_interval": "2ba"},
        {"optimizer": {"name": "decoupled_adamw", "lr": 0.02}},
        {"global_train_batch_size": 16},
    ],
)
def test_what_changes_the_result_changes_the_id(
    run_values: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert id_of(run_values, **changes) != id_of(run_values)


@pytest.mark.parametrize(
    "changes",
    [
        {"callbacks": {"lr_monitor": None, "speed_monitor": {"window_size": 2}}},
        {"loggers": {"in_memory": None}},
        {"run_name": "other", "save_folder": "elsewhere", "autoresume": True},
        {"save_interval": "2ba"},
    ],
)
def test_what_only_looks_on_does_not(run_values: dict[str, Any], changes: dict[str, Any]) -> None:
    assert id_of(run_values, **changes) == id_of(run_values)


@pytest.mark.parametrize("loader", ["train_loader", "eval_loader"])
def test_the_folder_of_a_stream_counts(
    run_values: dict[str, Any], shardset: Path, loader: str
) -> None:
    before = id_of(run_values)
    section = run_values[loader]
    (section[0] if isinstance(section, list) else section)["dataset"]["streams"]["code"][
        "local"
    ] = str(shardset / "prose")
    assert id_of(run_values) != before


def test_evaluation_streams_from_elsewhere_count_by_their_content(
    run_values: dict[str, Any], shardset: Path, tmp_path: Path
) -> None:
    before = id_of(run_values)
    stream = run_values["eval_loader"][0]["dataset"]["streams"]["code"]
    own = tmp_path / "own"
    shutil.copytree(shardset / "code", own / "code")
    stream["local"] = str(own / "code")
    elsewhere = id_of(run_values)
    index = own / "code" / "validation" / "index.json"
    index.write_text(index.read_text().replace('"samples": 24', '"samples": 23'))
    assert len({before, elsewhere, id_of(run_values)}) == 3


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, False),  # a domain's place in the run depends on its name alone
        ({"shuffle": False}, True),
        ({"shuffle_algo": "py1e"}, True),
        ({"batching_method": "stratified"}, True),
    ],
)
def test_the_order_of_streams_counts_where_samples_follow_it(
    run_values: dict[str, Any], changes: dict[str, Any], counts: bool
) -> None:
    dataset = run_values["train_loader"]["dataset"]
    dataset |= changes
    before = id_of(run_values)
    dataset["streams"] = dict(reversed(dataset["streams"].items()))
    assert (id_of(run_values) != before) is counts


def test_it_does_not_depend_on_where_the_shard_set_lies(
    run_values: dict[str, Any], shardset: Path, tmp_path: Path
) -> None:
    before = id_of(run_values)
    moved = tmp_path / "moved"
    shutil.copytree(shardset, moved)
    for loader in (run_values["train_loader"], *run_values["eval_loader"]):
        for name, stream in loader["dataset"]["streams"].items():
            stream["local"] = str(moved / name)
    assert id_of(run_values) == before


@pytest.fixture
def foundry(run_values: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A run on shards that are in no shard set, of samples that all have one size."""
    write_shards(tmp_path / "c4", seed=0)
    run_values["train_loader"]["dataset"] = {"local": str(tmp_path / "c4"), "split": "train"}
    run_values["eval_loader"] = {"dataset": {"local": str(tmp_path / "c4"), "split": "val"}}
    return run_values


def write_shards(folder: Path, seed: int, splits: tuple[str, ...] = ("train", "val")) -> None:
    for split in splits:
        shutil.rmtree(folder / split, ignore_errors=True)
        rng = np.random.default_rng(seed)
        with MDSWriter(out=str(folder / split), columns={"tokens": "bytes"}) as writer:
            for _ in range(16):
                writer.write({"tokens": rng.integers(1, 64, 32).astype(np.int64).tobytes()})


@pytest.mark.parametrize("split", ["train", "val"])
def test_other_samples_at_the_same_place_count(
    foundry: dict[str, Any], tmp_path: Path, split: str
) -> None:
    before, index = id_of(foundry), tmp_path / "c4" / split / "index.json"
    written = index.read_bytes()
    write_shards(tmp_path / "c4", seed=1, splits=(split,))
    assert index.read_bytes() == written
    assert id_of(foundry) != before
    write_shards(tmp_path / "c4", seed=0, splits=(split,))
    assert id_of(foundry) == before


def test_what_is_kept_of_a_remote_folder_must_be_of_its_data(
    foundry: dict[str, Any], tmp_path: Path
) -> None:
    dataset = foundry["train_loader"]["dataset"]
    dataset |= {"remote": dataset["local"], "local": str(tmp_path / "kept")}
    before = id_of(foundry)
    shutil.copytree(tmp_path / "c4" / "train", tmp_path / "kept" / "train")
    assert id_of(foundry) == before
    index = tmp_path / "c4" / "train" / "index.json"
    index.write_text(index.read_text().replace('"samples": 16', '"samples": 15'))
    with pytest.raises(UserError, match=r"kept/train keeps shards of .*c4 that are not those"):
        id_of(foundry)
    shutil.rmtree(tmp_path / "kept")
    assert id_of(foundry) != before


INDEX_IN_STORE = """
import sys
from mixscale.train.config import load_run_config
from mixscale.train.run.run_id import content_of, run_id
config = load_run_config(sys.argv[1])
print(run_id(config, content_of(config)))
"""


def test_the_index_in_an_object_store_counts(
    foundry: dict[str, Any], tmp_path: Path, store: ObjectStore
) -> None:
    index = (tmp_path / "c4" / "train" / "index.json").read_bytes()
    store.objects["bucket/c4/train/index.json"] = index
    foundry["train_loader"]["dataset"] = {"remote": "s3://bucket/c4/", "split": "train"}
    foundry["eval_loader"] = {"dataset": {"remote": "s3://bucket/c4", "split": "train"}}
    path = tmp_path / "run.yaml"
    with path.open("w") as stream:
        YAML().dump(foundry, stream)

    def found() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", INDEX_IN_STORE, str(path)],
            env=os.environ | store.environment | {"S3_ENDPOINT_URL": store.address},
            capture_output=True,
            text=True,
            check=False,
        )

    first = found().stdout
    assert first.startswith("run-")
    assert found().stdout == first
    store.objects["bucket/c4/train/index.json"] = index.replace(b'"samples": 16', b'"samples": 15')
    assert found().stdout not in ("", first)
    store.objects.clear()
    assert "s3://bucket/c4/train/index.json: " in found().stderr


def test_unpacking_shards_does_not_count(foundry: dict[str, Any], tmp_path: Path) -> None:
    with MDSWriter(
        out=str(tmp_path / "packed" / "train"), columns={"tokens": "bytes"}, compression="zstd"
    ) as writer:
        for _ in range(16):
            writer.write({"tokens": np.ones(32, np.int64).tobytes()})
    foundry["train_loader"]["dataset"]["local"] = str(tmp_path / "packed")
    before = id_of(foundry)
    dataset = StreamingDataset(local=str(tmp_path / "packed"), split="train", batch_size=1)
    assert dataset[0]["tokens"]
    assert (tmp_path / "packed" / "train" / "shard.00000.mds").is_file()
    assert id_of(foundry) == before


def test_another_tokenizer_counts(
    foundry: dict[str, Any], run_values: dict[str, Any], shardset: Path, tmp_path: Path
) -> None:
    shutil.copytree(shardset / "tokenizer", tmp_path / "t")
    for values in (foundry, run_values):
        before = id_of(values)
        assert id_of(values, tokenizer={"name": str(tmp_path / "t")}) == before
    place = tmp_path / "t" / "tokenizer.json"
    place.write_text(place.read_text().replace('"w63"', '"w64"'))
    for values in (foundry, run_values):
        assert id_of(values, tokenizer={"name": str(tmp_path / "t")}) != id_of(values)


def test_a_checkpoint_counts_by_its_content_also_by_rank(
    run_values: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "a-rank0.pt").write_bytes(b"first")
    (tmp_path / "b-rank0.pt").write_bytes(b"first")
    first = id_of(run_values, load_path=str(tmp_path / "a-rank{rank}.pt"))
    assert first == id_of(run_values, load_path=str(tmp_path / "b-rank0.pt"))
    (tmp_path / "a-rank0.pt").write_bytes(b"second")
    assert id_of(run_values, load_path=str(tmp_path / "a-rank{rank}.pt")) != first
