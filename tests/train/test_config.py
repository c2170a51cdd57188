"""`run.yaml`: what is read, what is refused, and the messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig, StreamConfig, load_run_config, to_plain

FOUNDRY = """\
variables:
  data_local: ./my-copy-c4
  global_seed: 17
max_seq_len: 2048
model:
  name: hf_causal_lm
  pretrained_model_name_or_path: gpt2
  pretrained: false
tokenizer:
  name: EleutherAI/gpt-neox-20b
train_loader:
  name: text
  dataset:
    streams:
      c4:
        local: ${variables.data_local}/c4
        split: train
        proportion: 1.0
    shuffle: true
    shuffle_seed: ${variables.global_seed}
  drop_last: true
  num_workers: 8
eval_loader:
- label: c4
  dataset:
    streams:
      c4: {local: "${variables.data_local}/c4", split: val}
optimizer:
  name: decoupled_adamw
  lr: 6.0e-4
  betas: [0.9, 0.95]
scheduler:
  name: cosine_with_warmup
  t_warmup: 100ba
max_duration: 4800ba
precision: amp_bf16
seed: ${variables.global_seed}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def test_reads_the_layout_of_llm_foundry(tmp_path: Path) -> None:
    config = load_run_config(write(tmp_path, FOUNDRY))
    assert config.train_loader.dataset.streams["c4"].local == "./my-copy-c4/c4"
    assert config.train_loader.dataset.shuffle_seed == 17
    assert config.eval_loader[0].label == "c4"
    assert config.optimizer.arguments == {"lr": 6e-4, "betas": [0.9, 0.95]}


def test_writes_what_it_reads(tmp_path: Path, run_values: dict[str, Any]) -> None:
    config = RunConfig.model_validate(run_values)
    path = tmp_path / "run.yaml"
    with path.open("w") as stream:
        YAML().dump(to_plain(config), stream)
    assert load_run_config(path) == config


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "max_duration: 4800ba",
            "max_duration: 4800",
            r":35: max_duration: needs a whole",
        ),
        (
            "max_duration: 4800ba",
            "max_durtion: 4800ba",
            "max_durtion: unknown key; did you mean .max_d",
        ),
        (
            "name: hf_causal_lm",
            "name: mpt_causal_lm",
            r"run\.yaml:5: model: name: mpt_.* gpt2",
        ),
        ("proportion: 1.0", "proportion: -1", r"run\.yaml:18: .*c4\.proportion"),
        ("        proportion: 1.0", "        proportion: 1.0\n        repeat: 2.0", "not both"),
        ("precision: amp_bf16", "precision: bf16", "'fp32', 'amp_fp16' or 'amp_bf16'"),
        ("${variables.global_seed}", "${variables.sed}", "sed"),
        ("shuffle: true", "shuffle: true\n    shuffle_algo: best", "'paired'"),
        ("shuffle: true", "shuffle: true\n    shuffle_algo: py1b", "Streaming 0.13 .* py1br"),
        ("shuffle: true", "shuffle: true\n    local: x", "`local` beside `streams`: give one"),
        ("shuffle: true", "shuffle: true\n    packing_ratio: 2", "packing_ratio: .* fine-tuning"),
        ("precision: amp_bf16", "icl_tasks: x", "icl_tasks: unknown key; tasks are not evaluated"),
        ("precision: amp_bf16", "data_local: x", "data_local: .* belong under `variables`"),
        ("precision: amp_bf16", "eval_interval: often", r"eval_interval: write how often"),
        ("4800ba", "0ba", "max_duration: needs a whole number"),
        ("4800ba", "1.5ep", "max_duration: needs a whole number"),
        ("seed: ${variables.global_seed}\n", "seed: [\n", r"run\.yaml:\d+: not valid YAML"),
        ("split: val}", "split: val, spilt: x}", "spilt: unknown key"),
    ],
)
def test_a_mistake_is_named_with_line_and_key(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in FOUNDRY
    changed = FOUNDRY.replace(before, after)
    with pytest.raises(UserError, match=message):
        load_run_config(write(tmp_path, changed))


def test_missing_file() -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot read: No such file"):
        load_run_config("nowhere.yaml")


SINGLE = """\
max_seq_len: 128
run_name:
model: {name: hf_causal_lm, pretrained_model_name_or_path: gpt2, pretrained: false}
tokenizer: {name: tokenizer, kwargs: {model_max_length: 128}}
train_loader:
  name: text
  dataset:
    local: ./copy/c4/
    remote:
    split: train_small
    shuffle: true
    epoch_size: 100k
eval_loader:
  name: text
  dataset: {remote: "s3://bucket/c4", split: val}
loggers:
algorithms:
max_duration: 1e9tok
save_folder: null
"""


def test_a_single_dataset_is_one_stream(tmp_path: Path) -> None:
    config = load_run_config(write(tmp_path, SINGLE))
    training, evaluation = config.train_loader.dataset, config.eval_loader[0].dataset
    assert {name: to_values(stream) for name, stream in training.streams.items()} == {
        "c4": {"local": "./copy/c4/", "split": "train_small"}
    }
    assert {name: to_values(stream) for name, stream in evaluation.streams.items()} == {
        "c4": {"remote": "s3://bucket/c4", "split": "val"}
    }
    assert training.epoch_size == 100_000
    assert config.max_duration == "1000000000tok"
    assert (config.loggers, config.algorithms) == ({}, {})


def to_values(stream: StreamConfig) -> dict[str, Any]:
    return stream.model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("./copy/c4/", "[a]", r"run\.yaml:7: train_loader\.dataset: local: expected text"),
        ("    local: ./copy/c4/\n", "", "where do the samples lie\\? Give `streams`, or `local`"),
        ("    shuffle: true", "    shufle: true", "dataset.shufle: .*did you mean 'shuffle'"),
        ("    shuffle: true", "    proportion: 1", "proportion: .* belongs to a stream"),
    ],
)
def test_mistakes_in_a_single_dataset(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in SINGLE
    with pytest.raises(UserError, match=message):
        load_run_config(write(tmp_path, SINGLE.replace(before, after)))


@pytest.mark.parametrize(
    ("written", "read"),
    [("1e9tok", "1000000000tok"), ("1Btok", "1000000000tok"), ("100ba", "100ba"),
     ("1_000sp", "1000sp"), ("2.5ktok", "2500tok"), ("3bba", "3000000000ba")],
)  # fmt: skip
def test_durations(tmp_path: Path, written: str, read: str) -> None:
    text = SINGLE.replace("1e9tok", written)
    assert load_run_config(write(tmp_path, text)).max_duration == read


def test_a_key_that_is_merged_into_several_streams_is_named_once(tmp_path: Path) -> None:
    text = FOUNDRY.replace(
        "variables:\n", "variables:\n  common: &common\n    split: train\n    downlaod_retry: 3\n"
    ).replace(
        "      c4:\n",
        "      a: {<<: *common, local: a, proportion: 1}\n      c4:\n        <<: *common\n",
    )
    with pytest.raises(UserError) as caught:
        load_run_config(write(tmp_path, text))
    (line,) = str(caught.value).splitlines()
    assert line.endswith(
        "run.yaml:4: train_loader.dataset.streams.a.downlaod_retry: unknown key; "
        "did you mean 'download_retry'?"
    )


def test_the_field_trials_merged_key(shared: Path) -> None:
    with pytest.raises(UserError, match=r"yaml:6: .*downlaod_retry: .*mean 'download_retry'"):
        load_run_config(shared / "trials/train/merged-key-misspelt.yaml")


@pytest.mark.parametrize(
    ("attention", "nearest"),
    [
        ("", "gpt2, pretrained: false, config_overrides: {n_embd: 768, n_layer: 12, n_head: 12}"),
        ("attn_config: {alibi: true}", "mpt, .*d_model: 768, n_layers: 12, n_heads: 12"),
        ("attn_config: {rope: true, kv_n_heads: 4}", "llama, .*num_key_value_heads: 4"),
    ],
)
def test_llm_foundrys_own_models(tmp_path: Path, attention: str, nearest: str) -> None:
    text = FOUNDRY.replace("name: hf_causal_lm", "name: mpt_causal_lm").replace(
        "  pretrained_model_name_or_path: gpt2\n  pretrained: false\n",
        f"  init_device: meta\n  d_model: 768\n  n_heads: 12\n  n_layers: 12\n  {attention}\n",
    )
    with pytest.raises(UserError, match=nearest) as caught:
        load_run_config(write(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 1
