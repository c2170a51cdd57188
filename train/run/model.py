"""Language models from transformers, made from a config and a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from composer.models import HuggingFaceModel
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.utils.import_utils import is_flash_attn_2_available

from mixscale.contracts.errors import UserError, unknown_name
from mixscale.train.config import CAUSAL, MASKED, ModelConfig, TokenizerConfig
from mixscale.train.evaluate.loss import TokenLoss
from mixscale.train.run.hub import load, nearest

_CONTEXT_LENGTHS = ("n_positions", "max_position_embeddings")
_POSITIONS_AFTER_PADDING = ("camembert", "data2vec-text", "roberta", "roberta-prelayernorm",
                            "xlm-roberta", "xlm-roberta-xl")  # fmt: skip
"""Model types that number positions from one more than the id of the padding token."""


def load_tokenizer(config: TokenizerConfig) -> PreTrainedTokenizerFast:
    """Load a tokenizer from a folder or the hub.

    Raises:
        UserError: There is none of that name.
    """
    try:
        return load(AutoTokenizer.from_pretrained, config.name, **config.kwargs)
    # What a wrong `kwargs` or a damaged file raises is whatever the tokenizer's class makes of it.
    except Exception as error:
        raise UserError(
            f"tokenizer.name: cannot load {config.name!r}: {_first_line(error)}; a shard set has "
            "its tokenizer in SHARDSET/tokenizer"
        ) from error


def model_config(
    config: ModelConfig, sequence_length: int, tokenizer: PreTrainedTokenizerFast
) -> PretrainedConfig:
    """Make the transformers config of a run's model.

    Raises:
        UserError: The model or an override is unknown.
    """
    base = _base_config(config)
    overridden = _attributes(config, base)
    defaults = {} if config.pretrained else _proxy_defaults(base, sequence_length, tokenizer)
    # GPT-2's `max_position_embeddings` is `n_positions` by another name, and it would win.
    defaults = {
        name: value
        for name, value in defaults.items()
        if base.attribute_map.get(name, name) not in overridden
    }
    made = _with_values(config, base, {**defaults, **config.config_overrides})
    _check_kind(config, made)
    _check_sizes(made, sequence_length, tokenizer)
    return made


def _attributes(config: ModelConfig, base: PretrainedConfig) -> set[str]:
    """List the attributes that the overrides set, each by the model's own name for it."""
    given: dict[str, str] = {}
    for name in config.config_overrides:
        if not hasattr(base, name):
            known = [key for key in base.to_dict() if not key.startswith("_")]
            raise unknown_name("model.config_overrides", name, known)
        attribute = base.attribute_map.get(name, name)
        if attribute in given:
            raise UserError(
                f"model.config_overrides: {given[attribute]} and {name} are one setting of "
                f"{base.model_type!r}; give one of them"
            )
        given[attribute] = name
    return set(given)


def _proxy_defaults(
    base: PretrainedConfig, sequence_length: int, tokenizer: PreTrainedTokenizerFast
) -> dict[str, Any]:
    """Choose what suits small proxy runs: no dropout, and sizes that follow the data."""
    positions = sequence_length
    if base.model_type in _POSITIONS_AFTER_PADDING:
        padding = tokenizer.pad_token_id
        if not isinstance(padding, int):
            raise UserError(
                f"tokenizer: it has no padding token, which {base.model_type!r} counts positions "
                "from; add `kwargs: {pad_token: <pad>}` under `tokenizer`"
            )
        positions += padding + 1
    values: dict[str, Any] = {"vocab_size": len(tokenizer), "use_cache": False}
    values |= dict.fromkeys(_CONTEXT_LENGTHS, positions)
    values |= {
        name: 0.0
        for name, value in base.to_dict().items()
        if isinstance(value, float) and ("dropout" in name or name.endswith("pdrop"))
    }
    values |= {
        f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")
    }
    return {name: value for name, value in values.items() if hasattr(base, name)}


def _with_values(
    config: ModelConfig, base: PretrainedConfig, values: dict[str, Any]
) -> PretrainedConfig:
    """Change a transformers config; one that comes from a model type is made anew.

    Its constructor derives some values from others (Llama's `head_dim` from `hidden_size`).
    """
    if _is_model_type(config):
        return AutoConfig.for_model(config.pretrained_model_name_or_path, **values)
    for name, value in values.items():
        setattr(base, name, value)
    return base


def build_model(
    config: ModelConfig, sequence_length: int, tokenizer: PreTrainedTokenizerFast
) -> HuggingFaceModel:
    """Make the Composer model of a run; random weights come from torch's current seed.

    Raises:
        UserError: The model cannot be made.
    """
    made = model_config(config, sequence_length, tokenizer)
    return HuggingFaceModel(
        transformers_model(config, made, pretrained=config.pretrained),
        tokenizer=tokenizer,
        use_logits=True,
        shift_labels=config.name != MASKED,
        metrics=[],
        eval_metrics=[TokenLoss(counts_right=config.name == MASKED)],
    )


def transformers_model(
    config: ModelConfig, made: PretrainedConfig, *, pretrained: bool
) -> PreTrainedModel:
    """Make a model of transformers.

    Args:
        config: The model of the run.
        made: Its transformers config, of `model_config`.
        pretrained: Whether to load the weights; else they are random.

    Raises:
        UserError: The model cannot be made.
    """
    masked = config.name == MASKED
    family = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    try:
        if pretrained:
            model = load(
                family.from_pretrained,
                config.pretrained_model_name_or_path,
                with_token=config.use_auth_token,
                config=made,
                attn_implementation=_attention(config, made),
                trust_remote_code=config.trust_remote_code,
            )
        else:
            model = family.from_config(
                made,
                attn_implementation=_attention(config, made),
                trust_remote_code=config.trust_remote_code,
            )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"model: {_first_line(error)}") from error
    # transformers does not find the loss of every class by its name, and then warns each time.
    model.loss_type = "ForMaskedLM" if masked else "ForCausalLM"
    return model


def _attention(config: ModelConfig, made: PretrainedConfig) -> str:
    """Choose the implementation; where LLM Foundry's switch cannot be had, PyTorch's is as good.

    Models that have no `sdpa`, or no attention at all, compute the same without it.
    """
    if config.use_flash_attention_2 and is_flash_attn_2_available():
        return "flash_attention_2"
    family = AutoModelForMaskedLM if config.name == MASKED else AutoModelForCausalLM
    classes = family._model_mapping.get(type(made), None)
    classes = classes if isinstance(classes, tuple | list) else (classes,)
    has_sdpa = all(getattr(known, "_supports_sdpa", True) for known in classes)
    if config.attn_implementation == "sdpa" and not has_sdpa:
        return "eager"
    return config.attn_implementation


def _is_model_type(config: ModelConfig) -> bool:
    name = config.pretrained_model_name_or_path
    return not config.pretrained and not Path(name).exists() and name in CONFIG_MAPPING


def _base_config(config: ModelConfig) -> PretrainedConfig:
    name = config.pretrained_model_name_or_path
    if _is_model_type(config):
        return AutoConfig.for_model(name)
    try:
        return load(
            AutoConfig.from_pretrained,
            name,
            with_token=config.use_auth_token,
            trust_remote_code=config.trust_remote_code,
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"model.pretrained_model_name_or_path: cannot load {name!r}: {_first_line(error)}; "
            "with `pretrained: false` a transformers model type such as gpt2 or llama works "
            f"offline.{nearest(name, CONFIG_MAPPING)}"
        ) from error


def _check_kind(config: ModelConfig, made: PretrainedConfig) -> None:
    """Refuse what is no language model of the kind that is asked for."""
    kind = made.model_type
    if not hasattr(made, "vocab_size"):
        raise UserError(
            f"model.pretrained_model_name_or_path: {kind!r} is no language model of one text"
        )
    both = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if config.name == CAUSAL and both and not (made.is_decoder or made.is_encoder_decoder):
        raise UserError(
            f"model.name: {CAUSAL}, but every token of {kind!r} sees the tokens after it, which it "
            f"is to predict; take `name: {MASKED}`, or `config_overrides: {{is_decoder: true}}`"
        )
    layers = getattr(made, "num_hidden_layers", 1)
    if isinstance(layers, int) and layers < 1:
        raise UserError(f"model.config_overrides: {layers} layers; give 1 or more")


def _check_sizes(
    loaded: PretrainedConfig, sequence_length: int, tokenizer: PreTrainedTokenizerFast
) -> None:
    if loaded.vocab_size < len(tokenizer):
        raise UserError(
            f"model.config_overrides.vocab_size: {loaded.vocab_size} is less than the tokenizer's "
            f"{len(tokenizer)} tokens"
        )
    for name in _CONTEXT_LENGTHS:
        if getattr(loaded, name, sequence_length) < sequence_length:
            raise UserError(
                f"model.config_overrides.{name}: {getattr(loaded, name)} is less than max_seq_len "
                f"{sequence_length}"
            )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
