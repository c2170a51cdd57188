"""Files of the structure and with the keys of LLM Foundry's own pre-training files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streaming import MDSWriter

from mixscale.contracts.errors import UserError
from mixscale.train.config import load_run_config
from mixscale.train.run.from_file import train_file
from mixscale.train.run.gpus import visible_gpus
from mixscale.train.run.machine import is_sharded, without_effect

LENGTH, VOCABULARY = 32, 64
LOADER = """
  name: text
  dataset:
    local: ${variables.data_local}
    remote: ${variables.data_remote}
    split: SPLIT
    shuffle: true
    max_seq_len: ${variables.max_seq_len}
    shuffle_seed: ${variables.global_seed}
"""
REST = """
scheduler:
  name: cosine_with_warmup
  t_warmup: 2ba
  alpha_f: 0.1
optimizer:
  name: decoupled_adamw
  lr: 1.0e-2
  betas:
  - 0.9
  - 0.95
  eps: 1.0e-08
  weight_decay: 0.0
algorithms:
  gradient_clipping:
    clipping_type: norm
    clipping_threshold: 1.0
max_duration: 12ba
eval_interval: 8ba
eval_first: false
global_train_batch_size: 8
seed: ${variables.global_seed}
precision: amp_bf16
progress_bar: false
log_to_console: true
console_log_interval: 1ba
callbacks:
  speed_monitor:
    window_size: 10
  lr_monitor: {}
  memory_monitor: {}
  runtime_estimator: {}
"""
GPT2 = (
    """
variables:
  data_local: DATA
  data_remote:  # blank: the files are here
  tokenizer_name: TOKENIZER
  global_seed: 17
  max_seq_len: 32
  run_name:
max_seq_len: ${variables.max_seq_len}
run_name: ${variables.run_name}
model:
  name: hf_causal_lm
  pretrained_model_name_or_path: gpt2
  config_overrides:
    n_positions: ${variables.max_seq_len}
    n_embd: 16
    n_layer: 1
    n_head: 2
  pretrained: false
tokenizer:
  name: ${variables.tokenizer_name}
  kwargs:
    model_max_length: ${variables.max_seq_len}
train_loader:"""
    + LOADER.replace("SPLIT", "train")
    + """
  drop_last: true
  num_workers: 2
eval_loader:"""
    + LOADER.replace("SPLIT", "val")
    + """
  drop_last: false
  num_workers: 1
eval_subset_num_batches: -1
device_eval_batch_size: 4
device_train_microbatch_size: 4
fsdp_config:
  sharding_strategy: FULL_SHARD
  mixed_precision: PURE
  activation_checkpointing: false
  activation_checkpointing_reentrant: false
  activation_cpu_offload: false
  limit_all_gathers: true
"""
    + REST
)
LLAMA = (
    """
variables:
  data_local: DATA
  data_remote:
  max_seq_len: 32
  global_seed: 17
  model_name: llama
  tokenizer_name: TOKENIZER
  run_name:
max_seq_len: ${variables.max_seq_len}
run_name: ${variables.run_name}
save_folder: null
load_path: null
model:
  name: hf_causal_lm
  init_device: meta
  pretrained_model_name_or_path: ${variables.model_name}
  config_overrides:
    hidden_size: 16
    intermediate_size: 32
    num_hidden_layers: 1
    num_attention_heads: 4
    num_key_value_heads: 2
  pretrained: false
  use_auth_token: true
  use_flash_attention_2: true
tokenizer:
  name: ${variables.tokenizer_name}
  kwargs:
    model_max_length: ${variables.max_seq_len}
train_loader:"""
    + LOADER.replace("SPLIT", "train_small")
    + """
  pin_memory: true
  prefetch_factor: 2
  persistent_workers: true
  drop_last: true
  num_workers: 2
device_train_microbatch_size: 1
dist_timeout: 6000
expandable_segments: true
fsdp_config:
  mixed_precision: PURE
  state_dict_type: sharded
  limit_all_gathers: true
  sharding_strategy: FULL_SHARD
  backward_prefetch: BACKWARD_PRE
  activation_cpu_offload: false
  activation_checkpointing: false
  activation_checkpointing_reentrant: false
"""
    + REST
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What LLM Foundry's script writes: splits of raw int64 bytes, packed with zstd."""
    rng = np.random.default_rng(3)
    for split, samples in (("train", 120), ("train_small", 110), ("val", 10)):
        with MDSWriter(
            out=str(tmp_path / "c4" / split), columns={"tokens": "bytes"}, compression="zstd"
        ) as writer:
            for _ in range(samples):
                row = np.resize(rng.integers(1, VOCABULARY, 4), LENGTH)
                writer.write({"tokens": row.astype(np.int64).tobytes()})
    return tmp_path / "c4"


def write(folder: Path, text: str, data: Path, shardset: Path) -> Path:
    path = folder / "foundry.yaml"
    tokenizer = str(shardset / "tokenizer")
    path.write_text(text.replace("DATA", str(data)).replace("TOKENIZER", tokenizer))
    return path


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("RUN_NAME", raising=False)
    monkeypatch.delenv("COMPOSER_RUN_NAME", raising=False)


@pytest.mark.parametrize(("text", "labels"), [(GPT2, ["validation"]), (LLAMA, [])])
def test_they_train_without_a_gpu_as_they_are(
    tmp_path: Path, data: Path, shardset: Path, text: str, labels: list[str]
) -> None:
    lines: list[str] = []
    path = write(tmp_path, text, data, shardset)
    record, folder = train_file(path, tmp_path / "out", report=lines.append)
    assert (record.status, record.error) == ("finished", None)
    assert record.seen_tokens == 12 * 8 * LENGTH
    assert list(record.domains) == ["c4"]
    assert list(record.evaluation) == labels
    assert record.precision == "fp32"
    assert [point.tokens for point in record.learning_curve] == [
        batches * 8 * LENGTH for batches in (8, 12) if labels
    ]
    assert lines[0] == (
        "no GPU is visible: training on the processor, which is slow: precision: amp_bf16 becomes "
        "fp32, fsdp_config is left out"
    )
    resolved = load_run_config(folder / "run.yaml")
    assert (resolved.precision, resolved.fsdp_config, resolved.seed) == ("fp32", None, 17)
    # Trained again, and as its own resolved file, it is the same run.
    again, _ = train_file(path, tmp_path / "out", report=lines.append, cpu=True)
    assert "--cpu: precision: amp_bf16 becomes fp32, fsdp_config is left out" in lines
    assert "has its record already" in lines[-1]
    resolved_record, _ = train_file(folder / "run.yaml", tmp_path / "out2", report=lines.append)
    assert again.run_id.rpartition("-")[2] == resolved_record.run_id.rpartition("-")[2]


def test_what_has_no_effect_is_said_in_one_line(tmp_path: Path, data: Path, shardset: Path) -> None:
    config = load_run_config(write(tmp_path, LLAMA, data, shardset))
    line = without_effect(config, 0, 1)
    assert line is not None
    assert "\n" not in line
    for key in ("model.init_device: meta", "fsdp_config", "model.use_flash_attention_2",
                "expandable_segments", "train_loader.pin_memory"):  # fmt: skip
        assert key in line
    on_eight = without_effect(config, 8, 8) or ""
    assert "fsdp_config" not in on_eight
    assert "pin_memory" not in on_eight
    plain = config.model_copy(
        update={
            "fsdp_config": None, "expandable_segments": None,
            "train_loader": config.train_loader.model_copy(update={"pin_memory": None}),
            "model": config.model.model_copy(
                update={"init_device": "cpu", "use_flash_attention_2": None}
            ),
        }
    )  # fmt: skip
    assert without_effect(plain, 0, 1) is None
    idle = plain.train_loader.model_copy(update={"num_workers": 0})
    line = without_effect(plain.model_copy(update={"train_loader": idle}), 0, 1)
    assert line is not None
    assert "train_loader.prefetch_factor, train_loader.persistent_workers" in line


@pytest.mark.parametrize(
    ("changes", "devices", "expected"),
    [
        ({}, 1, False),
        ({}, 2, True),
        # These save memory on one device, too.
        ({"activation_checkpointing": True}, 1, True),
        ({"cpu_offload": True}, 1, True),
    ],
)
def test_over_one_device_nothing_is_sharded(
    tmp_path: Path,
    data: Path,
    shardset: Path,
    changes: dict[str, bool],
    devices: int,
    expected: bool,
) -> None:
    config = load_run_config(write(tmp_path, GPT2, data, shardset))
    assert config.fsdp_config is not None
    config = config.model_copy(update={"fsdp_config": config.fsdp_config | changes})
    assert is_sharded(config, devices) is expected


@pytest.mark.parametrize(("variable", "value"), [("WORLD_SIZE", "2"), ("FSDP_VERSION", "2")])
def test_what_is_meant_for_devices_here_is_not_tried_on_the_processor(
    tmp_path: Path,
    data: Path,
    shardset: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError) as raised:
        train_file(write(tmp_path, GPT2, data, shardset), report=lambda line: None)
    *named, last = (line.split(":")[0] for line in str(raised.value).splitlines())
    assert named == ["precision", "fsdp_config"][: 2 if variable == "WORLD_SIZE" else 1]
    assert last.startswith("To train on the processor")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("precision", ["amp_bf16", "amp_fp16"])
def test_half_precision_alone_is_a_wish_for_this_machine(
    tmp_path: Path, data: Path, shardset: Path, precision: str
) -> None:
    text = GPT2[: GPT2.index("fsdp_config:")] + REST.replace("amp_bf16", precision)
    with pytest.raises(
        UserError, match=rf"(?s)^precision: {precision} needs a GPU.*--cpu"
    ) as raised:
        train_file(write(tmp_path, text, data, shardset), report=lambda line: None)
    assert "fsdp" not in str(raised.value)


def test_a_model_for_gpus_that_this_machine_cannot_hold(
    tmp_path: Path, data: Path, shardset: Path
) -> None:
    text = GPT2.replace("n_embd: 16", "n_embd: 65536").replace("n_layer: 1", "n_layer: 4")
    with pytest.raises(
        UserError, match=r"no GPU is visible, .*TiB.* --cpu` starts it all the same"
    ):
        train_file(write(tmp_path, text, data, shardset), report=lambda line: None)


@pytest.mark.parametrize("hidden", ["", "-1", "-1,0"])
def test_hidden_gpus_are_none(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert visible_gpus() == 0


@pytest.mark.parametrize("variable", ["RUN_NAME", "COMPOSER_RUN_NAME"])
def test_a_blank_run_name_comes_from_the_environment(
    tmp_path: Path, data: Path, shardset: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "from-environment")
    path = write(
        tmp_path,
        LLAMA.replace("save_folder: null", f"save_folder: {tmp_path}/{{run_name}}/checkpoints"),
        data,
        shardset,
    )
    record, _ = train_file(path, report=lambda line: None, cpu=True)
    assert record.run_id.startswith("from-environment-")
    assert (tmp_path / "from-environment" / "checkpoints" / "latest-rank0.pt").exists()
