"""The validation losses of a model that is there already, without training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from composer import Trainer
from transformers import AutoConfig, PreTrainedTokenizerFast

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import DomainLoss
from mixscale.contracts.shardset import VALIDATION, ShardSet, read_shardset
from mixscale.train.config import CAUSAL, MASKED, RunConfig, TokenizerConfig
from mixscale.train.data.loaders import evaluators
from mixscale.train.run.callbacks import EvaluationLog
from mixscale.train.run.device import choose_device, choose_precision
from mixscale.train.run.export import export_checkpoint
from mixscale.train.run.model import build_model, load_tokenizer
from mixscale.train.run.record import domain_losses

_CONFIG = "config.json"


def evaluate_model(
    source: str | Path,
    shardset: str | Path,
    *,
    domains: Sequence[str] | None = None,
    split: str = VALIDATION,
    tokens_per_domain: int | None = None,
    batch_size: int = 16,
) -> dict[str, DomainLoss]:
    """Measure how well a model predicts the validation domains of a shard set.

    Args:
        source: A Hugging Face folder; or a Composer checkpoint, a folder of them, or the folder of
            a run that saved some.
        shardset: The shard set, made with the model's tokenizer.
        domains: Which domains; all when absent.
        split: Of the shard set.
        tokens_per_domain: The first so many tokens of each domain, in whole batches; all when
            absent.
        batch_size: Samples in one forward pass.

    Returns:
        By domain, as in a run's record: for the same samples the same numbers.

    Raises:
        UserError: There is no such model, domain or split, or the model has another tokenizer.
    """
    root = Path(shardset)
    summary = read_shardset(root)
    chosen = _choose(summary, domains, split)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(source)
        if not (folder / _CONFIG).is_file():
            folder = Path(temporary, "model")
            export_checkpoint(source, folder)
        batches = -1
        if tokens_per_domain is not None:
            batches = max(1, round(tokens_per_domain / (summary.sequence_length * batch_size)))
        config = _config(folder, root, summary, chosen, split, batch_size, batches)
        tokenizer = load_tokenizer(config.tokenizer)
        _check_tokenizer(folder, tokenizer)
        model = build_model(config.model, config.max_seq_len, tokenizer)
        device = choose_device()
        trainer = Trainer(
            model=model,
            eval_dataloader=evaluators(config, tokenizer),
            eval_subset_num_batches=batches,
            device=device,
            precision=choose_precision(config, device),
            progress_bar=False,
        )
        trainer.eval()
        log = EvaluationLog()
        log.eval_after_all(trainer.state, trainer.logger)
        trainer.close()
    # A masked model gives a text no probability.
    measured = summary if config.model.name == CAUSAL and split == VALIDATION else None
    return domain_losses(log, measured)


def _choose(summary: ShardSet, domains: Sequence[str] | None, split: str) -> list[str]:
    known = list(summary.domains)
    unknown = sorted(set(domains or ()) - set(known))
    if unknown:
        raise UserError(f"{unknown} are no domains of the shard set; it has {known}")
    chosen = [name for name in known if domains is None or name in domains]
    for name in chosen:
        if split not in summary.domains[name] or not summary.domains[name][split].samples:
            raise UserError(f"domain {name!r} has no samples in the split {split!r}")
    return chosen


def _config(
    folder: Path,
    root: Path,
    summary: ShardSet,
    domains: Sequence[str],
    split: str,
    batch_size: int,
    batches: int,
) -> RunConfig:
    """Describe the evaluation as the run that it is a part of."""
    loaders: list[dict[str, Any]] = [
        {"label": name, "dataset": {"streams": {name: {"local": str(root / name), "split": split}}}}
        for name in domains
    ]
    architectures = AutoConfig.from_pretrained(folder).architectures or [""]
    masked = architectures[0].endswith("ForMaskedLM")
    values = {
        "max_seq_len": summary.sequence_length,
        "model": {
            "name": MASKED if masked else CAUSAL,
            "pretrained_model_name_or_path": str(folder),
            "pretrained": True,
        },
        "tokenizer": {"name": str(folder if masked else root / summary.tokenizer.path)},
        "train_loader": {"dataset": loaders[0]["dataset"]},
        "eval_loader": loaders,
        "eval_subset_num_batches": batches,
        "device_eval_batch_size": batch_size,
        "max_duration": "1ba",
    }
    return validate(values, RunConfig, str(folder))


def _check_tokenizer(folder: Path, ours: PreTrainedTokenizerFast) -> None:
    """Refuse a model whose tokens are not those of the shard set."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return
    theirs = load_tokenizer(TokenizerConfig(name=str(folder)))
    if theirs.get_vocab() != ours.get_vocab():
        raise UserError(
            f"{folder}: its tokenizer ({len(theirs)} tokens) is not the shard set's ({len(ours)} "
            "tokens), so its losses on these shards mean nothing; build a shard set with the "
            "model's own tokenizer"
        )
