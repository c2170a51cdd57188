"""Shards in the layouts that LLM Foundry reads: arrays, raw bytes, texts; a single dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streaming import MDSWriter

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.train.config import RunConfig
from mixscale.train.data.loaders import dataset_of, train_loader
from mixscale.train.run.model import load_tokenizer
from mixscale.train.run.training import train

LENGTH, VOCABULARY, SAMPLES = 32, 64, 80


@pytest.fixture
def rows() -> np.ndarray:
    """Token sequences that a tiny model can learn, (samples, sequence)."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(5)
    return np.stack([np.resize(rng.integers(1, VOCABULARY, 4), LENGTH) for _ in range(SAMPLES)])


def write(
    folder: Path,
    columns: dict[str, str],
    samples: list[dict[str, Any]],
    compression: str | None = None,
) -> Path:
    for split in ("train", "val"):
        with MDSWriter(out=str(folder / split), columns=columns, compression=compression) as writer:
            for sample in samples:
                writer.write(sample)
    return folder


def of_bytes(folder: Path, rows: np.ndarray, dtype: str) -> Path:
    samples = [{"tokens": row.astype(dtype).tobytes()} for row in rows]
    return write(folder, {"tokens": "bytes"}, samples)


def foundry_values(place: Path, shardset: Path, **dataset: Any) -> dict[str, Any]:
    """A run in the layout of LLM Foundry's own pre-training files."""
    common = {"local": str(place), "remote": None, "max_seq_len": LENGTH, "shuffle_seed": 1}
    return {
        "variables": {"data_local": str(place), "data_remote": None, "run_name": None},
        "max_seq_len": LENGTH,
        "run_name": None,
        "save_folder": None,
        "model": {
            "name": "hf_causal_lm",
            "init_device": "meta",
            "pretrained_model_name_or_path": "gpt2",
            "config_overrides": {"n_positions": LENGTH, "n_embd": 16, "n_layer": 1, "n_head": 2},
            "pretrained": False,
            "use_auth_token": True,
            "use_flash_attention_2": True,
        },
        "tokenizer": {
            "name": str(shardset / "tokenizer"),
            "kwargs": {"model_max_length": LENGTH},
        },
        "train_loader": {
            "name": "text",
            "dataset": {**common, "split": "train", "shuffle": True, **dataset},
            "drop_last": True,
            "num_workers": 1,
            "persistent_workers": True,
            "prefetch_factor": 2,
            "pin_memory": False,
        },
        "eval_loader": {
            "name": "text",
            "dataset": {**common, "split": "val", "shuffle": False, **dataset},
            "drop_last": False,
            "num_workers": 0,
        },
        "scheduler": {"name": "cosine_with_warmup", "t_warmup": "2ba", "alpha_f": 0.1},
        "optimizer": {"name": "decoupled_adamw", "lr": 0.01, "betas": [0.9, 0.95], "eps": 1e-8,
                      "weight_decay": 0.0},
        "max_duration": "10ba",
        "eval_interval": "1000ba",
        "eval_subset_num_batches": -1,
        "global_train_batch_size": 8,
        "device_eval_batch_size": 4,
        "device_train_microbatch_size": 4,
        "dist_timeout": 6000,
        "expandable_segments": True,
        "callbacks": {"speed_monitor": {"window_size": 10}, "lr_monitor": {}, "memory_monitor": {},
                      "runtime_estimator": {}},
        "loggers": None,
    }  # fmt: skip


def run(values: dict[str, Any], folder: Path) -> RunRecord:
    return train(validate(values, RunConfig, "test"), folder)


@pytest.fixture
def reference(rows: np.ndarray, shardset: Path, tmp_path: Path) -> RunRecord:
    samples = [{"tokens": row.astype(np.uint16)} for row in rows]
    place = write(tmp_path / "c4", {"tokens": f"ndarray:uint16:{LENGTH}"}, samples)
    return run(foundry_values(place, shardset), tmp_path / "reference")


def test_a_single_dataset_trains_and_evaluates(reference: RunRecord) -> None:
    assert reference.status == "finished"
    assert list(reference.domains) == ["c4"]
    assert reference.seen_tokens == 10 * 8 * LENGTH
    (loss,) = reference.evaluation.values()
    assert loss.tokens == SAMPLES * (LENGTH - 1)
    assert loss.loss_nats < 4.1


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint16", "uint8"])
def test_raw_bytes_are_the_same_run(
    reference: RunRecord, rows: np.ndarray, shardset: Path, tmp_path: Path, dtype: str
) -> None:
    place = of_bytes(tmp_path / dtype / "c4", rows, dtype)
    record = run(foundry_values(place, shardset), tmp_path / "run")
    assert record.evaluation == reference.evaluation
    assert record.domains == reference.domains


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("is_remote", [False, True])
@pytest.mark.parametrize("column", ["bytes", "ndarray:uint16", f"ndarray:uint16:{LENGTH}"])
def test_shards_that_are_not_unpacked_yet(
    reference: RunRecord,
    rows: np.ndarray,
    shardset: Path,
    tmp_path: Path,
    compression: str | None,
    is_remote: bool,
    column: str,
) -> None:
    """LLM Foundry's script writes raw bytes, packed with zstd; they are read once they are here."""
    read = bytes if column == "bytes" else np.asarray
    samples = [{"tokens": read(row.astype(np.uint16))} for row in rows]
    place = write(tmp_path / "store" / "c4", {"tokens": column}, samples, compression)
    values = foundry_values(place, shardset)
    if is_remote:
        for loader in ("train_loader", "eval_loader"):
            cache = {"remote": str(place), "local": str(tmp_path / "cache" / "c4")}
            values[loader]["dataset"] |= cache
    record = run(values, tmp_path / "run")
    assert (record.status, record.error) == ("finished", None)
    assert record.evaluation == reference.evaluation
    assert record.domains == reference.domains


def test_the_type_of_bytes_may_be_given(rows: np.ndarray, shardset: Path, tmp_path: Path) -> None:
    place = of_bytes(tmp_path / "c4", rows, "uint16")
    assert (
        run(
            foundry_values(place, shardset, token_encoding_type="uint16"), tmp_path / "right"
        ).status
        == "finished"
    )
    with pytest.raises(UserError, match="read as int32, are not tokens of the vocabulary of 64"):
        run(foundry_values(place, shardset, token_encoding_type="int32"), tmp_path / "wrong")


def test_longer_samples_are_cut(
    reference: RunRecord, rows: np.ndarray, shardset: Path, tmp_path: Path
) -> None:
    samples = [{"tokens": np.concatenate([row, row]).astype(np.int32)} for row in rows]
    place = write(tmp_path / "long" / "c4", {"tokens": "ndarray:int32"}, samples)
    record = run(foundry_values(place, shardset), tmp_path / "run")
    assert record.evaluation == reference.evaluation


def words(row: np.ndarray) -> str:
    return " ".join(f"w{token}" for token in row)


def test_texts_are_tokenized_cut_and_padded(
    rows: np.ndarray, shardset: Path, tmp_path: Path
) -> None:
    texts = [words(row[: 5 + number % 40]) for number, row in enumerate(rows)]
    texts[0] = words(np.concatenate([rows[0], rows[0]]))
    place = write(tmp_path / "c4", {"text": "str"}, [{"text": text} for text in texts])
    values = foundry_values(place, shardset)
    values["train_loader"]["dataset"]["shuffle"] = False
    config = validate(values, RunConfig, "test")
    spec = train_loader(config, load_tokenizer(config.tokenizer))
    batch = next(iter(spec.dataloader))
    assert spec.get_num_tokens_in_batch(batch) == LENGTH + sum(range(6, 13))
    assert batch["input_ids"][0].tolist() == rows[0].tolist()
    assert batch["input_ids"][1, :6].tolist() == rows[1, :6].tolist()
    assert batch["labels"][1, 6:].eq(-100).all()
    assert not batch["attention_mask"][1, 6:].any()
    assert dataset_of(spec).holds_text
    record = run(values, tmp_path / "run")
    lengths = [min(LENGTH, len(text.split())) for text in texts]
    assert record.seen_tokens == sum(lengths)
    assert record.domains["c4"].unique_tokens == sum(lengths)
    (loss,) = record.evaluation.values()
    assert loss.tokens == sum(lengths) - SAMPLES


def test_whole_texts_are_the_same_run_as_their_tokens(
    reference: RunRecord, rows: np.ndarray, shardset: Path, tmp_path: Path
) -> None:
    place = write(tmp_path / "t" / "c4", {"text": "str"}, [{"text": words(row)} for row in rows])
    record = run(foundry_values(place, shardset), tmp_path / "run")
    (loss,), (expected,) = record.evaluation.values(), reference.evaluation.values()
    assert loss.loss_nats == pytest.approx(expected.loss_nats, abs=1e-4)
    assert record.domains == reference.domains


@pytest.mark.parametrize(
    ("columns", "sample", "message"),
    [
        ({"x": "int"}, {"x": 1}, r"samples have the columns \['x'\]; training needs `tokens`"),
        ({"text": "int"}, {"text": 1}, "the column `text` holds int, not text"),
        ({"tokens": "str"}, {"tokens": "a"}, "the column `tokens` holds str"),
        ({"tokens": "bytes"}, {"tokens": b"\xff" * 64}, "are not tokens of the vocabulary of 64"),
        ({"tokens": "bytes"}, {"tokens": b""}, "are not tokens"),
        (
            {"tokens": "ndarray:int32"},
            {"tokens": np.ones(LENGTH - 1, np.int32)},
            "max_seq_len: 32, but the shards' samples have 31 tokens",
        ),
    ],
)
def test_other_columns_are_refused(
    shardset: Path, tmp_path: Path, columns: dict[str, str], sample: dict[str, Any], message: str
) -> None:
    place = write(tmp_path / "c4", columns, [sample] * 16)
    with pytest.raises(UserError, match=message):
        run(foundry_values(place, shardset), tmp_path / "run")


def test_a_sample_that_is_too_short_later_on_is_named(
    rows: np.ndarray, shardset: Path, tmp_path: Path
) -> None:
    samples = [{"tokens": row.astype(np.int32)} for row in rows]
    samples[50] = {"tokens": np.ones(3, np.int32)}
    place = write(tmp_path / "c4", {"tokens": "ndarray:int32"}, samples)
    record = run(foundry_values(place, shardset), tmp_path / "run")
    assert record.status == "data_error"
    assert "sample 50: 3 tokens, fewer than max_seq_len 32" in str(record.error)
