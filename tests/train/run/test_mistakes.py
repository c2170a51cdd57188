"""Mistakes in a run's config, wherever they surface: one message with key and value."""

from __future__ import annotations

import math
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import LOG, RunRecord
from mixscale.train.config import RunConfig
from mixscale.train.run.from_file import train_file
from mixscale.train.run.training import train

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def values(run_values: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)
    return run_values


def run(values: dict[str, Any], folder: Path, **changes: Any) -> RunRecord:
    return train(validate({**values, **changes}, RunConfig, "test"), folder)


def write(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "run.yaml"
    with path.open("w") as stream:
        YAML().dump(values, stream)
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithms": {"seq_length_warmup": {"duration": 0.5, "min_seq_length": 8,
                                               "max_seq_length": 32}}},
         r"algorithms\.seq_length_warmup: it cuts samples .*; remove it"),
        ({"algorithms": {"alibi": {"max_sequence_length": 32}}},
         r"algorithms\.alibi: .*a model with ALiBi of its own"),
        ({"algorithms": {"gated_linear_units": None}}, r"algorithms\.gated_linear_units: "),
        ({"algorithms": {"label_smoothing": {"smoothing": 0.1}}},
         r"algorithms\.label_smoothing: .*no targets to smooth.*; remove it"),
        ({"callbacks": {"early_stopper": {"monitor": "Nothing", "dataloader_label": "code",
                                          "patience": "1ba"}}},
         r"callbacks\.early_stopper\.monitor: unknown value 'Nothing'; .*'TokenLoss'"),
        # Composer would complain at the end of the first epoch, after all the training.
        ({"callbacks": {"threshold_stopper": {"monitor": "TokenLoss", "threshold": 1.0,
                                              "dataloader_label": "train"}}},
         r"callbacks\.threshold_stopper\.dataloader_label: unknown value 'train'"),
        ({"optimizer": {"name": "decoupled_adamw", "lr": -1.0}}, "optimizer"),
        ({"optimizer": {"name": "adamw", "betas": [0.9]}}, r"optimizer 'adamw': \{'betas'"),
        ({"scheduler": {"name": "cosine_with_warmup", "t_warmup": "5xyz"}}, "scheduler"),
        ({"scheduler": {"name": "constant", "alpha": "x"}}, "scheduler 'constant': .*alpha"),
        ({"scheduler": {"name": "linear", "t_max": "0ba"}}, "scheduler 'linear': .*ZeroDivision"),
        ({"scheduler": {"name": "inv_sqrt_with_warmup", "t_warmup": "64tok", "t_scale": "64tok",
                        "t_cooldown": "1ba"}},
         "scheduler 'inv_sqrt_with_warmup': .*t_cooldown 1ba is not in the unit"),
    ],
)  # fmt: skip
def test_components_that_the_run_cannot_take(
    values: dict[str, Any], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        run(values, tmp_path / "run", **changes)


def test_the_traceback_of_a_translated_error_is_in_the_log(
    values: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=LOG):
        run(values, tmp_path / "run", algorithms={"gated_linear_units": None})
    assert "Traceback" in (tmp_path / "run" / LOG).read_text()


@pytest.mark.parametrize("duration", ["3ba", "1ep"])
def test_fewer_samples_than_a_batch_that_is_dropped(
    values: dict[str, Any], tmp_path: Path, duration: str
) -> None:
    values["train_loader"] |= {"drop_last": True}
    with pytest.raises(UserError, match=r"train_loader\.drop_last: true .* 80 samples, a batch 96"):
        run(values, tmp_path / "run", global_train_batch_size=96, max_duration=duration)


def test_fewer_validation_samples_than_a_batch_that_is_dropped(
    values: dict[str, Any], tmp_path: Path
) -> None:
    values["eval_loader"][1] |= {"drop_last": True}
    with pytest.raises(UserError, match=r"eval_loader 'prose'\.drop_last: .* 24 samples"):
        run(values, tmp_path / "run", device_eval_batch_size=32)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("method", ["stratified", "per_stream", "device_per_stream"])
def test_streams_too_small_for_the_batching_method(
    values: dict[str, Any], tmp_path: Path, method: str, paired: bool
) -> None:
    dataset = values["train_loader"]["dataset"]
    dataset |= {"batching_method": method, "epoch_size": 80}
    if not paired:
        dataset["shuffle_algo"] = "py1e"
    for name, share in {"code": 0.97, "prose": 0.02, "tables": 0.01}.items():
        dataset["streams"][name]["proportion"] = share
    with pytest.raises(UserError, match=rf"batching_method: {method}.*(prose|tables)"):
        run(values, tmp_path / "run")


@pytest.mark.parametrize("precision", ["amp_bf16", "amp_fp16"])
def test_half_precision_without_a_gpu(
    values: dict[str, Any], tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    path = write(tmp_path, values | {"precision": precision})
    with pytest.raises(UserError, match=f"precision: {precision} needs a GPU"):
        train_file(path)


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", "", "a\\b", "x" * 300])
def test_run_names_that_are_no_folder(values: dict[str, Any], tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"run_name: .* cannot name a folder"):
        train_file(write(tmp_path, values | {"run_name": name}))
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


@pytest.mark.parametrize("folder", ["save/{name}", "save/{run_name}"])
def test_save_folders_with_names_that_are_not_given(
    values: dict[str, Any], tmp_path: Path, folder: str
) -> None:
    with pytest.raises(UserError, match="save_folder: "):
        train_file(write(tmp_path, values | {"save_folder": folder}))


@pytest.mark.parametrize("scheme", ["s3", "gs", "oci", "azure", "hf"])
def test_object_stores_that_cannot_be_reached(
    values: dict[str, Any], tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    address = f"{scheme}://no-such-bucket/code"
    values["train_loader"]["dataset"] |= {"download_retry": 0, "download_timeout": 5}
    values["train_loader"]["dataset"]["streams"]["code"] |= {
        "remote": address,
        "local": str(tmp_path / "cache"),
    }
    with pytest.raises(UserError, match=address):
        run(values, tmp_path / "run")


FULL_DISK = """
import resource, sys
from mixscale.contracts.errors import UserError
from mixscale.train.run.from_file import train_file
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    train_file(sys.argv[1])
except UserError as error:
    print(error)
    sys.exit(2)
"""


def test_no_space_for_a_checkpoint(values: dict[str, Any], tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: both end a write half-way."""
    path = write(tmp_path, values | {"save_folder": str(tmp_path / "save")})
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), "20000"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stdout
    assert "free some space" in done.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20000


def test_an_error_of_the_model_is_not_the_optimizers(
    values: dict[str, Any], tmp_path: Path
) -> None:
    """The optimizer's step calls the model, which has too few experts for a token."""
    values["model"] |= {
        "pretrained_model_name_or_path": "mixtral",
        "config_overrides": {
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 2,
            "num_experts_per_tok": 5,
        },
    }  # fmt: skip
    with pytest.raises(UserError, match=r"^model: .*selected index k out of range"):
        run(values, tmp_path / "run")


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"version": 2}', '{"shards": 3, "version": 2}'])
def test_an_index_that_is_none(
    values: dict[str, Any], shardset: Path, tmp_path: Path, text: str
) -> None:
    shutil.copytree(shardset / "code", tmp_path / "code")
    index = tmp_path / "code" / "train" / "index.json"
    index.write_text(text)
    values["train_loader"]["dataset"]["streams"]["code"]["local"] = str(tmp_path / "code")
    with pytest.raises(UserError, match=r"stream 'code': .*train/index\.json is damaged"):
        run(values, tmp_path / "run")


def test_a_bug_stays_a_bug(values: dict[str, Any], tmp_path: Path) -> None:
    """What our own code raises is no mistake of the user's."""

    def listener(tokens: int) -> None:
        raise KeyError(tokens)

    config = validate(values, RunConfig, "test")
    with pytest.raises(KeyError):
        train(config, tmp_path / "run", listener=listener)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("seed", 2**40, "seed: Input should be less than 4294967296"),
        ("eval_subset_num_batches", 0, "eval_subset_num_batches: give a number of batches, or -1"),
        ("eval_subset_num_batches", -5, "eval_subset_num_batches: give a number"),
        ("device_train_microbatch_size", 0, "device_train_microbatch_size: give a number of"),
        ("device_train_microbatch_size", -1, "device_train_microbatch_size: give a number of"),
        ("dist_timeout", -1, "dist_timeout"),
        ("python_log_level", "loud", "python_log_level: expected one of debug, info"),
        ("save_num_checkpoints_to_keep", -7, "save_num_checkpoints_to_keep"),
        ("train_loader.prefetch_factor", 0, r"train_loader\.prefetch_factor"),
        ("train_loader.timeout", -1, r"train_loader\.timeout"),
        # It would wait for ever.
        ("train_loader.dataset.predownload", -3, r"dataset\.predownload"),
        ("train_loader.dataset.num_canonical_nodes", 0, r"dataset\.num_canonical_nodes"),
        ("train_loader.dataset.shuffle_block_size", -1, r"dataset\.shuffle_block_size"),
        ("train_loader.dataset.shuffle_seed", -1, r"dataset\.shuffle_seed"),
        ("train_loader.dataset.download_retry", -1, r"dataset\.download_retry"),
        ("train_loader.dataset.streams.code.proportion", math.inf, r"code\.proportion: .* finite"),
        ("train_loader.dataset.streams.code.proportion", math.nan, r"code\.proportion"),
        ("train_loader.dataset.validate_hash", "md9", "validate_hash: .*Did you mean 'md5'"),
        ("compile_config", {"modus": "default"}, "compile_config: .*Did you mean 'mode'"),
        ("callbacks", {"scheduled_gc": {"batch_interval": 0}}, "scheduled_gc.*batch_interval is 0"),
        ("callbacks", {"run_timeout": {"timeout": "x"}}, "run_timeout.*timeout is 'x'"),
        ("callbacks", {"hf_checkpointer": {"save_folder": "s3://b"}}, "hf_checkpointer.*folder of"),
        ("callbacks", {"hf_checkpointer": {"save_folder": "h", "precision": "fp4"}}, "float32"),
        ("callbacks",
         {"hf_checkpointer": {"save_folder": "h", "huggingface_folder_name": "x{step}"}},
         r"only \{batch\} is known"),
        # They would never stop the run.
        ("callbacks", {"early_stopper": {"monitor": "TokenLoss", "dataloader_label": "eval"}},
         r"early_stopper\.dataloader_label: unknown value 'eval'; .*'code'.*'prose'"),
        ("callbacks",
         {"threshold_stopper": {"monitor": "TokenLoss", "dataloader_label": "cod",
                                "threshold": 1.0}},
         r"threshold_stopper\.dataloader_label: .*Did you mean 'code'"),
        ("model.pretrained_model_name_or_path", "vit", "'vit' is no language model"),
        ("model.config_overrides.n_layer", 0, "0 layers; give 1 or more"),
        ("model.config_overrides.n_layers", 1, r"'n_layers'. Did you mean 'n_layer'\?$"),
        ("global_train_batch_size", True, "global_train_batch_size: expected a number"),
        ("seed", False, "seed: expected a number"),
        ("train_loader.dataset.streams.code.proportion", True, r"code\.proportion: expected a num"),
        ("optimizer", "adamw", r"optimizer: write it with its arguments: \{name: adamw\}"),
    ],
)  # fmt: skip
def test_values_that_no_run_can_have(
    values: dict[str, Any], tmp_path: Path, path: str, value: object, said: str
) -> None:
    *parents, last = path.split(".")
    section = values
    for key in parents:
        section = section[key]
    if path.endswith("name_or_path"):
        values["model"]["config_overrides"] = {}
    section[last] = value
    with pytest.raises(UserError, match=said):
        train_file(write(tmp_path, values), report=lambda line: None)


@pytest.mark.parametrize("kind", ["bert", "roberta", "camembert"])
def test_a_model_that_sees_what_it_is_to_predict(
    values: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    values["model"] |= {
        "pretrained_model_name_or_path": kind,
        "config_overrides": {
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
    }  # fmt: skip
    values["tokenizer"]["kwargs"] = {"pad_token": "<|endoftext|>"}
    with pytest.raises(UserError, match=r"model\.name: .* sees the tokens after it.*is_decoder"):
        run(values, tmp_path / "refused")
    values["model"]["config_overrides"]["is_decoder"] = True
    assert run(values, tmp_path / "run").status == "finished"


def test_a_timeout_without_worker_processes(values: dict[str, Any], tmp_path: Path) -> None:
    values["train_loader"]["timeout"] = 5
    lines: list[str] = []
    record, _ = train_file(write(tmp_path, values), report=lines.append)
    assert record.status == "finished"
    assert lines == ["without effect here: train_loader.timeout (without num_workers)"]


@pytest.mark.parametrize("method", ["stratified", "per_stream", "device_per_stream"])
@pytest.mark.parametrize("algorithm", ["py1e", "py1s", "py2s", "naive"])
def test_batching_methods_with_streamings_own_orders(
    values: dict[str, Any], tmp_path: Path, method: str, algorithm: str
) -> None:
    values["train_loader"]["dataset"] |= {"batching_method": method, "shuffle_algo": algorithm}
    record = run(values, tmp_path / "run")
    assert record.status == "finished"
    if method == "stratified":  # the others give whole batches of each stream
        seen = {name: tokens.seen_tokens // 32 for name, tokens in record.domains.items()}
        assert seen == {"code": 40, "prose": 20, "tables": 20}
        unique = {name: tokens.unique_tokens // 32 for name, tokens in record.domains.items()}
        assert unique == seen


def test_a_stream_without_samples_in_a_batching_method(
    values: dict[str, Any], tmp_path: Path
) -> None:
    dataset = values["train_loader"]["dataset"]
    dataset["batching_method"] = "stratified"
    dataset["streams"]["prose"]["proportion"] = 0.0
    with pytest.raises(UserError, match=r"batching_method: stratified.*'prose'"):
        run(values, tmp_path / "run")


def test_load_path_of_every_device(values: dict[str, Any], tmp_path: Path) -> None:
    """As LLM Foundry's files write it."""
    saving = {"save_folder": str(tmp_path / "save"), "save_interval": "5ba"}
    whole = run(values, tmp_path / "first", **saving)
    again = run(
        values, tmp_path / "second", load_path=str(tmp_path / "save" / "ep0-ba5-rank{rank}.pt")
    )
    assert again.evaluation == whole.evaluation
    with pytest.raises(UserError, match=r"load_path: .*ba6-rank0\.pt is missing"):
        run(values, tmp_path / "none", load_path=str(tmp_path / "save" / "ep0-ba6-rank{rank}.pt"))
