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
    PreTrainedTokenizerFast,
)

from contracts.errors import UserError, unknown_name
from train.config import MASKED, ModelConfig, TokenizerConfig
from train.loss import TokenLoss

_DROPOUTS = (
    "resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout", "attention_dropout",
    "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout",
)  # fmt: skip
_CONTEXT_LENGTHS = ("n_positions", "max_position_embeddings")


def load_tokenizer(config: TokenizerConfig) -> PreTrainedTokenizerFast:
    """Load a tokenizer from a folder or the hub.

    Raises:
        UserError: There is none of that name.
    """
    try:
        return AutoTokenizer.from_pretrained(config.name, **config.kwargs)
    except (OSError, ValueError) as error:
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
    loaded = _base_config(config)
    defaults: dict[str, Any] = {}
    if not config.pretrained:
        defaults = {"vocab_size": len(tokenizer), "use_cache": False}
        defaults |= {name: sequence_length for name in _CONTEXT_LENGTHS if hasattr(loaded, name)}
        defaults |= {name: 0.0 for name in _DROPOUTS if hasattr(loaded, name)}
        defaults |= {
            f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id")
            for kind in ("bos", "eos", "pad")
        }
    for name, value in {**defaults, **config.config_overrides}.items():
        if not hasattr(loaded, name):
            known = [key for key in loaded.to_dict() if not key.startswith("_")]
            raise unknown_name("model.config_overrides", name, known)
        setattr(loaded, name, value)
    _check_sizes(loaded, sequence_length, tokenizer)
    return loaded


def build_model(
    config: ModelConfig, sequence_length: int, tokenizer: PreTrainedTokenizerFast
) -> HuggingFaceModel:
    """Make the Composer model of a run; random weights come from torch's current seed.

    Raises:
        UserError: The model cannot be made.
    """
    made = model_config(config, sequence_length, tokenizer)
    masked = config.name == MASKED
    family = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    try:
        if config.pretrained:
            model = family.from_pretrained(
                config.pretrained_model_name_or_path,
                config=made,
                attn_implementation=config.attn_implementation,
                trust_remote_code=config.trust_remote_code,
            )
        else:
            model = family.from_config(
                made,
                attn_implementation=config.attn_implementation,
                trust_remote_code=config.trust_remote_code,
            )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"model: {_first_line(error)}") from error
    # Not every class name tells transformers the loss, and then it warns in every process.
    model.loss_type = "ForMaskedLM" if masked else "ForCausalLM"
    return HuggingFaceModel(
        model,
        tokenizer=tokenizer,
        use_logits=True,
        shift_labels=not masked,
        metrics=[],
        eval_metrics=[TokenLoss()],
    )


def _base_config(config: ModelConfig) -> PretrainedConfig:
    name = config.pretrained_model_name_or_path
    if not config.pretrained and not Path(name).exists() and name in CONFIG_MAPPING:
        return AutoConfig.for_model(name)
    try:
        return AutoConfig.from_pretrained(name, trust_remote_code=config.trust_remote_code)
    except (OSError, ValueError) as error:
        raise UserError(
            f"model.pretrained_model_name_or_path: cannot load {name!r}: {_first_line(error)}; "
            "with `pretrained: false` a transformers model type such as gpt2 or llama works offline"
        ) from error


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
