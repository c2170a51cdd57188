"""`run.yaml`: one Composer run in the layout of LLM Foundry's training YAML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from ruamel.yaml import YAML

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.config import Config, line_of, plain, read_yaml, validate
from mixscale.contracts.errors import UserError

PAIRED = "paired"
CAUSAL, MASKED = "hf_causal_lm", "hf_masked_lm"
ShuffleAlgorithm = Literal["naive", "py1b", "py1br", "py1e", "py1s", "py2s", "paired"]


class Named(BaseModel):
    """A thing chosen by `name`; the other keys are its arguments."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """Every key but `name`."""
        return dict(self.model_extra or {})


class ModelConfig(Config):
    """A transformers model for causal or for masked language modelling."""

    name: Literal["hf_causal_lm", "hf_masked_lm"]
    pretrained_model_name_or_path: str
    """A local folder, a hub name, or a transformers model type such as `gpt2`, `llama` or `bert`,
    which needs no network when `pretrained` is false."""
    pretrained: bool
    """Load the weights, or start from a random initialisation given by the run's seed."""
    config_overrides: dict[str, Any] = Field(default_factory=dict)
    """Attributes of the transformers config to change. Unless set here, dropout is 0, and the
    vocabulary and the context length follow the tokenizer and `max_seq_len`."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] = "sdpa"
    init_device: Literal["cpu", "meta", "mixed"] = "cpu"
    use_auth_token: bool = False
    trust_remote_code: bool = False


class TokenizerConfig(Config):
    """The tokenizer; a shard set carries its own in `SHARDSET/tokenizer`."""

    name: str
    kwargs: dict[str, Any] = Field(default_factory=dict)


class StreamConfig(Config):
    """One domain: where its samples lie and how much of them to use."""

    local: str | None = None
    remote: str | None = None
    split: str | None = None
    proportion: float | None = Field(default=None, ge=0)
    """Share of the samples. All samples have `max_seq_len` tokens, so it is a share of tokens."""
    repeat: float | None = Field(default=None, ge=0)
    choose: int | None = Field(default=None, ge=0)
    download_retry: int | None = None
    download_timeout: float | None = None
    validate_hash: str | None = None
    keep_zip: bool | None = None

    @model_validator(mode="after")
    def _one_place_one_weight(self) -> StreamConfig:
        if self.local is None and self.remote is None:
            raise ValueError("needs `local` or `remote`: where do the samples lie?")
        weights = [key for key in ("proportion", "repeat", "choose") if getattr(self, key)]
        if len(weights) > 1:
            raise ValueError(f"give one of {' and '.join(weights)}, not both")
        return self


class DatasetConfig(Config):
    """Arguments of Streaming's dataset."""

    streams: dict[str, StreamConfig] = Field(min_length=1)
    max_seq_len: int | None = Field(default=None, gt=0)
    mlm_probability: float | None = Field(default=None, gt=0, lt=1)
    """For masked language models: the share of the tokens to predict; 0.15 when absent."""
    shuffle: bool = False
    shuffle_algo: ShuffleAlgorithm = "py1e"
    """One of Streaming's algorithms, or `paired`: each domain's order of samples depends on the
    seed and the domain alone, so that runs differ by their mixture only."""
    shuffle_seed: int = 9176
    shuffle_block_size: int | None = None
    epoch_size: int | None = Field(default=None, gt=0)
    """Samples in an epoch."""
    num_canonical_nodes: int | None = None
    partition_algo: Literal["orig", "relaxed"] = "relaxed"
    sampling_method: Literal["balanced", "fixed"] = "balanced"
    sampling_granularity: int = Field(default=1, gt=0)
    batching_method: Literal["random", "stratified", "per_stream", "device_per_stream"] = "random"
    predownload: int | None = None
    cache_limit: int | str | None = None
    download_retry: int = 2
    download_timeout: float = 60
    validate_hash: str | None = None
    keep_zip: bool = False

    @field_validator("streams")
    @classmethod
    def _one_kind_of_weight(cls, streams: dict[str, StreamConfig]) -> dict[str, StreamConfig]:
        with_proportion = [
            name for name, stream in streams.items() if stream.proportion is not None
        ]
        if with_proportion and len(with_proportion) < len(streams):
            missing = sorted(set(streams) - set(with_proportion))
            raise ValueError(f"`proportion` is missing in {missing}; give it to every stream")
        if with_proportion and not sum(streams[name].proportion or 0 for name in streams):
            raise ValueError("all proportions are 0")
        return streams


class LoaderConfig(Config):
    """A data loader over one dataset."""

    name: Literal["text"] = "text"
    label: str | None = None
    """Name of the validation domain; for evaluation loaders."""
    dataset: DatasetConfig
    drop_last: bool = False
    num_workers: int = Field(default=0, ge=0)
    pin_memory: bool | None = None
    prefetch_factor: int | None = None
    persistent_workers: bool | None = None
    timeout: float = 0


class RunConfig(Config):
    """One run. Every key means what it means in LLM Foundry's training YAML."""

    variables: dict[str, Any] = Field(default_factory=dict)
    """Values for `${variables.name}` elsewhere in the file."""
    run_name: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Free; a sweep writes what the run is for."""
    max_seq_len: int = Field(gt=0)
    seed: int = Field(default=17, ge=0)
    model: ModelConfig
    tokenizer: TokenizerConfig
    train_loader: LoaderConfig
    eval_loader: tuple[LoaderConfig, ...] = ()
    optimizer: Named = Named.model_validate(
        {"name": "decoupled_adamw", "lr": 1e-3, "betas": [0.9, 0.95], "weight_decay": 1e-5}
    )
    scheduler: Named = Named.model_validate(
        {"name": "cosine_with_warmup", "t_warmup": "0.05dur", "alpha_f": 0.1}
    )
    algorithms: dict[str, dict[str, Any] | None] = Field(
        default_factory=lambda: {
            "gradient_clipping": {"clipping_type": "norm", "clipping_threshold": 1.0}
        }
    )
    callbacks: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    loggers: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    max_duration: str
    """How long to train: `1000000tok`, `5000sp`, `100ba` or `1ep`."""
    eval_interval: str | int = "1dur"
    eval_first: bool = False
    eval_subset_num_batches: int = -1
    global_train_batch_size: int = Field(default=16, gt=0)
    device_train_microbatch_size: int | Literal["auto"] | None = None
    """Samples in one forward pass; the whole device batch when absent."""
    device_eval_batch_size: int = Field(default=16, gt=0)
    precision: Literal["fp32", "amp_fp16", "amp_bf16"] | None = None
    """Chosen by the device when absent."""
    fsdp_config: dict[str, Any] | None = None
    compile_config: dict[str, Any] | None = None
    save_folder: str | None = None
    save_interval: str | int = "1ep"
    save_num_checkpoints_to_keep: int = -1
    save_overwrite: bool = False
    load_path: str | None = None
    """A Composer checkpoint to go on from: weights, optimizer and position in the data."""
    load_weights_only: bool = False
    """Take only the weights of `load_path`, and start a new run from them."""
    load_strict_model_weights: bool = True
    autoresume: bool = False
    progress_bar: bool = False
    log_to_console: bool = False
    console_log_interval: str | int = "1ba"
    python_log_level: str | None = None
    dist_timeout: float = 600

    @field_validator("max_duration", mode="before")
    @classmethod
    def _with_unit(cls, value: object) -> object:
        if not re.fullmatch(r"[1-9]\d*(tok|sp|ba|ep)", str(value)):
            raise ValueError(
                "needs a unit: 1000000tok (tokens), 5000sp (samples), 100ba (batches) or 1ep"
            )
        return value

    @field_validator("eval_loader", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        labels = [loader.label for loader in self.eval_loader]
        if len(labels) > 1 and (None in labels or len(set(labels)) < len(labels)):
            raise ValueError(f"eval_loader: each needs its own `label`, found {labels}")
        for loader in (self.train_loader, *self.eval_loader):
            length = loader.dataset.max_seq_len
            if length is not None and length != self.max_seq_len:
                raise ValueError(
                    f"dataset.max_seq_len is {length} but max_seq_len is {self.max_seq_len}"
                )
        if self.model.name == CAUSAL:
            for loader in (self.train_loader, *self.eval_loader):
                if loader.dataset.mlm_probability is not None:
                    raise ValueError(f"dataset.mlm_probability is for `model.name: {MASKED}`")
        if self.autoresume and (self.save_folder is None or self.run_name is None):
            raise ValueError("autoresume needs `save_folder` and `run_name`")
        return self


def load_run_config(path: str | Path) -> RunConfig:
    """Read `run.yaml`, filling in `${…}` interpolations as OmegaConf does.

    Raises:
        UserError: The file is missing or wrong; the message names line and key.
    """
    document = read_yaml(path)
    try:
        values = OmegaConf.to_container(OmegaConf.create(plain(document)), resolve=True)
    except OmegaConfBaseException as error:
        line = line_of(document, str(error.full_key or "").split("."))
        place = f"{path}:{line}" if line else str(path)
        raise UserError(f"{place}: {error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(values, dict)
    return validate(
        {str(key): value for key, value in values.items()}, RunConfig, str(path), document
    )


def to_plain(config: RunConfig) -> dict[str, Any]:
    """Write a config back as the mapping that YAML holds, without the keys that are unset."""
    return config.model_dump(mode="json", exclude_none=True)


def write_run_config(path: Path, config: RunConfig) -> None:
    """Write `run.yaml`, atomically; what is read back from it is equal."""
    yaml = YAML()
    yaml.width = 4096
    with atomic_write(path) as stream:
        yaml.dump(to_plain(config), stream)
