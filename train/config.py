"""`run.yaml`: one Composer run in the layout of LLM Foundry's training YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.config import (
    Config,
    TokenCount,
    line_of,
    parse_tokens,
    plain,
    read_yaml,
    validate,
)
from mixscale.contracts.errors import UserError

PAIRED = "paired"
LOSS_METRIC = "TokenLoss"
"""The one metric of validation domains."""
ONLY_LABEL = "validation"
"""Label of an evaluation loader that is alone and has none."""
CAUSAL, MASKED = "hf_causal_lm", "hf_masked_lm"
ShuffleAlgorithm = Literal["naive", "py1br", "py1e", "py1s", "py2s", "paired"]
TokenEncoding = Literal["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
_UNITS = "tok|sp|ba|ep"
_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_SEEDS = 2**32
"""NumPy takes no larger ones."""
_NOT_PRE_TRAINING = "it is for fine-tuning, which is not done here; remove it"
_NOT_TASKS = "tasks are not evaluated while training; remove it"


def _interval(value: object) -> object:
    """Validate how often something is done: whole epochs, or a time with its unit."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if is_number or re.fullmatch(rf"[1-9]\d*({_UNITS})|(0?\.\d+|1(\.0*)?)dur", str(value)):
        return value
    raise ValueError(
        "write how often, with a unit: 1000000tok, 5000sp, 100ba, 1ep, or a part of the run as "
        "0.25dur"
    )


Interval = Annotated[str | int, BeforeValidator(_interval)]
"""Epochs, or a time with its unit."""


class Section(Config):
    """A part of `run.yaml`; a key without a value is absent, as in LLM Foundry."""

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if value is not None}

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        # pydantic takes it for 1.
        if isinstance(value, bool):
            kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
            if {int, float} & kinds and bool not in kinds:
                raise ValueError("expected a number")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """List the plain types of an annotation."""
    parts = get_args(annotation)
    return {annotation}.union(*(_kinds(part) for part in parts)) if parts else {annotation}


class Named(BaseModel):
    """A thing chosen by `name`; the other keys are its arguments."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @model_validator(mode="before")
    @classmethod
    def _with_arguments(cls, values: object) -> object:
        if isinstance(values, str):
            raise ValueError(f"write it with its arguments: {{name: {values}}}")
        return values

    @property
    def arguments(self) -> dict[str, Any]:
        """Every key but `name`."""
        return dict(self.model_extra or {})


class ModelConfig(Section):
    """A transformers model for causal or for masked language modelling."""

    ways_out: ClassVar[Mapping[str, str]] = {
        "peft_config": _NOT_PRE_TRAINING,
        "load_in_8bit": _NOT_PRE_TRAINING,
        "attn_config": "for LLM Foundry's MPT; give `attn_implementation`, or `config_overrides`",
    }

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
    use_flash_attention_2: bool | None = None
    """LLM Foundry's way to ask for `flash_attention_2`. Where that is not installed, or without a
    GPU, `sdpa` computes the same."""
    init_device: Literal["cpu", "meta", "mixed"] = "cpu"
    """Without effect: weights are made on the processor of each device."""
    use_auth_token: bool = False
    """Ask the hub with the user's token, which must be there then."""
    trust_remote_code: bool = False

    @model_validator(mode="before")
    @classmethod
    def _known_model(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("name") in _OTHER_MODELS:
            raise ValueError(_instead_of(values))
        return values


_OTHER_MODELS = {
    "mpt_causal_lm": "mpt",
    "mptmoe_causal_lm": "mixtral",
    "fake_mpt_causal_lm": "mpt",
}
"""Models of LLM Foundry's own, with the transformers model type that is nearest."""


def _instead_of(values: Mapping[str, Any]) -> str:
    """Say which transformers model is nearest to one of LLM Foundry's own."""
    name = values["name"]
    attention = values.get("attn_config") or {}
    kind, why = _OTHER_MODELS[name], "ALiBi positions, no biases"
    if kind == "mixtral":
        why = "a mixture of experts"
    elif attention.get("rope") or attention.get("kv_n_heads"):
        kind, why = "llama", "rotary positions, grouped keys"
    elif not attention.get("alibi"):
        kind, why = "gpt2", "learned positions"
    sizes = _SIZES[kind]
    overrides = {theirs: values[ours] for ours, theirs in sizes.items() if values.get(ours)}
    if kind in ("llama", "mixtral") and attention.get("kv_n_heads"):
        overrides["num_key_value_heads"] = attention["kv_n_heads"]
    inner = ", ".join(f"{key}: {value}" for key, value in overrides.items())
    return (
        f"name: {name} is LLM Foundry's own model; the nearest in transformers ({why}): "
        f"{{name: {CAUSAL}, pretrained_model_name_or_path: {kind}, pretrained: false, "
        f"config_overrides: {{{inner}}}}}"
    )


_LLAMA = {"d_model": "hidden_size", "n_layers": "num_hidden_layers",
          "n_heads": "num_attention_heads"}  # fmt: skip
_SIZES = {
    "mpt": {"d_model": "d_model", "n_layers": "n_layers", "n_heads": "n_heads",
            "expansion_ratio": "expansion_ratio"},
    "gpt2": {"d_model": "n_embd", "n_layers": "n_layer", "n_heads": "n_head"},
    "llama": _LLAMA,
    "mixtral": _LLAMA,
}  # fmt: skip
"""By model type, what MPT's sizes are called there."""


class TokenizerConfig(Section):
    """The tokenizer; a shard set carries its own in `SHARDSET/tokenizer`."""

    name: str
    kwargs: dict[str, Any] = Field(default_factory=dict)


class StreamConfig(Section):
    """One domain: where its samples lie and how much of them to use."""

    local: str | None = None
    remote: str | None = None
    split: str | None = None
    proportion: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Share of the samples. All samples have `max_seq_len` tokens, so it is a share of tokens."""
    repeat: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    choose: int | None = Field(default=None, ge=0)
    pool: int | None = Field(default=None, gt=0)
    """Use this many of the samples alone, which the domain and the shuffle seed choose: those of a
    smaller pool are among those of a larger one. Needs `shuffle_algo: paired`."""
    download_retry: int | None = Field(default=None, ge=0)
    download_timeout: float | None = Field(default=None, gt=0)
    validate_hash: str | None = None
    keep_zip: bool | None = None

    @model_validator(mode="after")
    def _one_place_one_weight(self) -> StreamConfig:
        if self.local is None and self.remote is None:
            raise ValueError("needs `local` or `remote`: where do the samples lie?")
        weights = [key for key in ("proportion", "repeat", "choose") if getattr(self, key)]
        if len(weights) > 1:
            raise ValueError(f"give one of {' and '.join(weights)}, not both")
        if self.pool is not None and self.proportion is None and self.choose is None:
            raise ValueError("pool: needs `proportion` or `choose`: how much to take of it?")
        return self


class DatasetConfig(Section):
    """Arguments of Streaming's dataset."""

    ways_out: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("hf_name", "hf_kwargs", "preprocessing_fn", "packing_ratio", "decoder_only_format",
             "safe_load", "target_prompts", "target_responses"), _NOT_PRE_TRAINING
        ),
        **dict.fromkeys(
            ("eos_token_id", "bos_token_id"),
            "only LLM Foundry's MPT attends by document; remove it",
        ),
        "seq_parallel_replication": "sequences are not split over devices here; remove it",
        "proportion": "it belongs to a stream, under `streams`",
        "repeat": "it belongs to a stream, under `streams`",
        "choose": "it belongs to a stream, under `streams`",
    }  # fmt: skip

    streams: dict[str, StreamConfig] = Field(min_length=1)
    """By domain. LLM Foundry's layout of a single dataset (`local`, `remote`, `split` here) is read
    as one stream, named after its folder."""
    max_seq_len: int | None = Field(default=None, gt=0)
    mlm_probability: float | None = Field(default=None, gt=0, lt=1)
    """For masked language models: the share of the tokens to predict; 0.15 when absent."""
    token_encoding_type: TokenEncoding | None = None
    """Type of the tokens in `tokens` columns of raw bytes; found by their values when absent."""
    shuffle: bool = False
    shuffle_algo: ShuffleAlgorithm = "py1e"
    """One of Streaming's algorithms, or `paired`: each domain's order of samples depends on the
    seed and the domain alone, so that runs differ by their mixture only."""
    shuffle_seed: int = Field(default=9176, ge=0, lt=_SEEDS)
    shuffle_block_size: int | None = Field(default=None, gt=0)
    epoch_size: Annotated[TokenCount, Field(gt=0)] | None = None
    """Samples in an epoch; also as `100k`."""
    num_canonical_nodes: int | None = Field(default=None, gt=0)
    partition_algo: Literal["orig", "relaxed"] = "relaxed"
    sampling_method: Literal["balanced", "fixed"] = "balanced"
    sampling_granularity: int = Field(default=1, gt=0)
    batching_method: Literal["random", "stratified", "per_stream", "device_per_stream"] = "random"
    predownload: int | None = Field(default=None, ge=0)
    cache_limit: int | str | None = None
    download_retry: int = Field(default=2, ge=0)
    download_timeout: float = Field(default=60, gt=0)
    validate_hash: str | None = None
    keep_zip: bool = False
    allow_unsafe_types: bool | None = None
    """Read columns of Python pickles, which can run any program: only of those you trust."""
    replication: int | None = Field(default=None, gt=0)
    """How many consecutive devices get the same samples."""

    @model_validator(mode="before")
    @classmethod
    def _single_dataset(cls, values: object) -> object:
        """Read the layout of a single dataset as one stream."""
        if not isinstance(values, dict):
            return values
        place = {key: values[key] for key in _PLACE if values.get(key) is not None}
        rest = {key: value for key, value in values.items() if key not in _PLACE}
        if not place and "streams" in rest:
            return rest
        if rest.get("streams") is None and not {"local", "remote"} & set(place):
            raise ValueError(
                "where do the samples lie? Give `streams`, or `local` or `remote` with `split`"
            )
        if rest.get("streams") is not None:
            raise ValueError(
                f"{', '.join(f'`{key}`' for key in place)} beside `streams`: give one of the two; "
                "with `streams`, each says where it lies"
            )
        for key, value in place.items():
            if not isinstance(value, str):
                raise ValueError(f"{key}: expected text (found {value!r})")
        return {**rest, "streams": {_domain_of(place): place}}

    @field_validator("shuffle_algo", mode="before")
    @classmethod
    def _there_is_none_any_more(cls, value: object) -> object:
        if value == "py1b":
            raise ValueError(
                "Streaming 0.13 has no py1b any more; take py1br, its successor, or one of "
                "naive, py1e, py1s, py2s, paired"
            )
        return value

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

    @model_validator(mode="after")
    def _pools_are_paired(self) -> DatasetConfig:
        pools = sorted(name for name, stream in self.streams.items() if stream.pool is not None)
        if pools and not (self.shuffle and self.shuffle_algo == PAIRED):
            raise ValueError(
                f"streams {pools}: `pool` needs `shuffle: true` and `shuffle_algo: {PAIRED}`; "
                "Streaming's own algorithms take their samples from all of a stream"
            )
        return self


_PLACE = ("local", "remote", "split")


def _domain_of(place: Mapping[str, str]) -> str:
    """Name a single dataset after the folder that it lies in."""
    path = place.get("remote") or place.get("local") or ""
    return PurePosixPath(path.rstrip("/")).name or "data"


class LoaderConfig(Section):
    """A data loader over one dataset."""

    name: Literal["text"] = "text"
    label: str | None = None
    """Name of the validation domain; for evaluation loaders."""
    dataset: DatasetConfig
    drop_last: bool = False
    num_workers: int = Field(default=0, ge=0)
    pin_memory: bool | None = None
    prefetch_factor: int | None = Field(default=None, gt=0)
    persistent_workers: bool | None = None
    timeout: float = Field(default=0, ge=0)


class RunConfig(Section):
    """One run. Every key means what it means in LLM Foundry's training YAML."""

    ways_out: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("icl_tasks", "icl_tasks_str", "icl_subset_num_batches", "icl_seq_len",
             "eval_gauntlet", "eval_gauntlet_str"), _NOT_TASKS
        ),
        **dict.fromkeys(
            ("data_local", "data_remote", "tokenizer_name", "model_name", "global_seed"),
            "values for ${…} belong under `variables`",
        ),
        "code_paths": "name your class by its import path, `callbacks: {package.module.Class: {}}`",
        "log_config": "runs/<run id>/run.yaml holds the resolved config; remove it",
        "device_train_batch_size": "give `global_train_batch_size`",
        "device_train_grad_accum": "give `device_train_microbatch_size`",
        "eval_loaders": "give a list as `eval_loader`",
        "accumulate_train_batch_on_tokens": "every predicted token weighs the same; remove it",
        "tp_config": "models are not split over devices by tensors here; use `fsdp_config`",
    }  # fmt: skip

    variables: dict[str, Any] = Field(default_factory=dict)
    """Values for `${variables.name}` elsewhere in the file."""
    run_name: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Free; a sweep writes what the run is for."""
    max_seq_len: int = Field(gt=0)
    seed: int = Field(default=17, ge=0, lt=_SEEDS)
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
    """How long to train: `1000000tok`, `1e9tok`, `1Btok`, `5000sp`, `100ba` or `1ep`."""
    eval_interval: Interval = "1dur"
    eval_first: bool = False
    eval_subset_num_batches: int = -1
    """Batches of each evaluation loader; -1 for all."""
    global_train_batch_size: int = Field(default=16, gt=0)
    device_train_microbatch_size: int | Literal["auto"] | None = None
    """Samples in one forward pass; the whole device batch when absent."""
    device_eval_batch_size: int = Field(default=16, gt=0)
    precision: Literal["fp32", "amp_fp16", "amp_bf16"] | None = None
    """Chosen by the device when absent."""
    fsdp_config: dict[str, Any] | None = None
    compile_config: dict[str, Any] | None = None
    save_folder: str | None = None
    save_interval: Interval = "1ep"
    save_num_checkpoints_to_keep: int = Field(default=-1, ge=-1)
    save_overwrite: bool = False
    load_path: str | None = None
    """A Composer checkpoint to go on from: weights, optimizer and position in the data."""
    load_weights_only: bool = False
    """Take only the weights of `load_path`, and start a new run from them."""
    load_strict_model_weights: bool = True
    autoresume: bool = False
    progress_bar: bool = False
    log_to_console: bool = False
    console_log_interval: Interval = "1ba"
    python_log_level: str | None = None
    dist_timeout: float = Field(default=600, gt=0)
    expandable_segments: bool | None = None
    """On a GPU: let the memory allocator grow its segments, which leaves fewer gaps."""
    max_split_size_mb: int | None = Field(default=None, gt=0)
    cuda_load_lazy: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_algorithms(cls, values: object) -> object:
        # An empty key means none, where an absent one means gradient clipping.
        if isinstance(values, dict) and "algorithms" in values and values["algorithms"] is None:
            return {**values, "algorithms": {}}
        return values

    @field_validator("save_folder", "load_path", mode="before")
    @classmethod
    def _folder(cls, value: object) -> object:
        # Composer takes a folder as it is, but not as an address.
        return value.removeprefix("file://") if isinstance(value, str) else value

    @field_validator("max_duration", mode="before")
    @classmethod
    def _with_unit(cls, value: object) -> object:
        found = re.fullmatch(rf"(.*?)\s*({_UNITS})", str(value))
        try:
            amount = parse_tokens(found[1]) if found else 0
        except UserError:
            amount = 0
        if found is None or not amount:
            raise ValueError(
                "needs a whole number with a unit: 1000000tok or 1e6tok (tokens), 5000sp (samples),"
                " 100ba (batches) or 1ep"
            )
        return f"{amount}{found[2]}"

    @field_validator("eval_subset_num_batches")
    @classmethod
    def _some_batches(cls, value: int) -> int:
        if value < -1 or value == 0:
            raise ValueError("give a number of batches, or -1 for all")
        return value

    @field_validator("device_train_microbatch_size")
    @classmethod
    def _some_samples(cls, value: int | str | None) -> int | str | None:
        if isinstance(value, int) and value < 1:
            raise ValueError("give a number of samples, 1 or more")
        return value

    @field_validator("python_log_level")
    @classmethod
    def _known_level(cls, value: str | None) -> str | None:
        if value is not None and value.lower() not in _LOG_LEVELS:
            raise ValueError(f"expected one of {', '.join(_LOG_LEVELS)}")
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

    @property
    def first_checkpoint(self) -> str | None:
        """`load_path` of the first device: `{rank}` in it stands for the device's number."""
        if self.load_path is None:
            return None
        named = self.load_path.replace("{rank}", "0")
        return named.replace("{run_name}", self.run_name or "{run_name}")


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
