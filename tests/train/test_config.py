"""`run.yaml`: what is read, what is refused, and the messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig, load_run_config, to_plain

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
        ("max_duration: 4800ba", "max_duration: 4800", r"run\.yaml:35: max_duration: needs a unit"),
        ("max_duration: 4800ba", "max_durtion: 4800ba", "max_durtion: unknown key; allowed here:"),
        ("name: hf_causal_lm", "name: mpt_causal_lm", r"run\.yaml:6: model\.name"),
        ("proportion: 1.0", "proportion: -1", r"run\.yaml:18: .*c4\.proportion"),
        ("        proportion: 1.0", "        proportion: 1.0\n        repeat: 2.0", "not both"),
        ("precision: amp_bf16", "precision: bf16", "'fp32', 'amp_fp16' or 'amp_bf16'"),
        ("${variables.global_seed}", "${variables.sed}", "sed"),
        ("shuffle: true", "shuffle: true\n    shuffle_algo: best", "'paired'"),
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
