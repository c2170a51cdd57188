"""The record of a run: its tokens, losses, speed and surroundings."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from mixscale.contracts.run_record import DomainLoss, DomainTokens, RunRecord, Status
from mixscale.contracts.shardset import VALIDATION, ShardSet
from mixscale.train.config import MASKED, RunConfig
from mixscale.train.run.callbacks import EvaluationLog
from mixscale.train.run.device import choose_device, choose_precision, describe_device
from mixscale.train.run.run_id import content_of, find_shardset
from mixscale.train.run.trainer import PreparedRun

_PACKAGES = ("mixscale", "mosaicml", "mosaicml-streaming", "torch", "transformers")
_NOTHING_MEASURED: dict[str, Any] = {
    "parameters": None, "token_budget": 0, "seen_tokens": 0, "domains": {},
    "seconds": 0.0, "train_seconds": 0.0, "tokens_per_second": 0.0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    prepared: PreparedRun | None
    """None when it failed before its first batch."""
    status: Status
    error: str | None


def make_record(
    config: RunConfig, outcome: Outcome, name: str, started: str, purpose: dict[str, Any]
) -> RunRecord:
    """Make the record of a run that has ended.

    Args:
        config: The run.
        outcome: How it ended.
        name: Its run id.
        started: When, UTC, ISO 8601.
        purpose: Fields of the record that state what the run is for (sweep, role, domain ...).
    """
    shardset = find_shardset(config)
    measured = {} if outcome.prepared is None else _measured(config, outcome.prepared, shardset)
    if outcome.status != "finished":
        measured["evaluation"] = {}
    device = choose_device()
    return RunRecord.model_validate(
        _NOTHING_MEASURED
        | measured
        | {
            "run_id": name,
            "seed": config.seed,
            "status": outcome.status,
            "error": outcome.error,
            "device": describe_device(device),
            "precision": choose_precision(config, device),
            "shardset_sha256": shardset.content_sha256 if shardset else content_of(config),
            "versions": {package: version(package) for package in _PACKAGES},
            "started": started,
        }
        | purpose
    )


def _measured(
    config: RunConfig, prepared: PreparedRun, shardset: ShardSet | None
) -> dict[str, Any]:
    domains = _domain_tokens(config, prepared)
    seen = sum(tokens.seen_tokens for tokens in domains.values())
    training = prepared.watch.total - prepared.watch.evaluating
    masked = config.model.name == MASKED
    return {
        **count_parameters(prepared.model.model),
        "token_budget": sum(tokens.planned_tokens for tokens in domains.values()),
        "seen_tokens": seen,
        "domains": domains,
        "evaluation": domain_losses(prepared.evaluation, None if masked else shardset),
        "learning_curve": tuple(prepared.evaluation.curve),
        "seconds": round(prepared.watch.total, 3),
        "train_seconds": round(training, 3),
        "tokens_per_second": round(seen / training, 1) if training > 0 else 0.0,
    }


def count_parameters(model: Any) -> dict[str, int]:
    """Count what is trained: all of it, and what is no table of words or places.

    The layer that turns states into words is such a table too, whether it shares its weights with
    the input's or not (as Biderman et al., Pythia, arXiv 2304.01373, count).
    """
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    output = getattr(model, "get_output_embeddings", lambda: None)()
    if output is not None:
        tables.append(output)
    embedding = {id(p) for table in tables for p in table.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    return {
        "parameters": sum(p.numel() for p in trained),
        "non_embedding_parameters": sum(p.numel() for p in trained if id(p) not in embedding),
    }


def _domain_tokens(config: RunConfig, prepared: PreparedRun) -> dict[str, DomainTokens]:
    dataset, length = prepared.dataset, config.max_seq_len
    seen, unique = prepared.counter.totals()
    per_sample = prepared.counter.tokens_per_sample()
    planned = _planned_samples(config, prepared)
    result = {}
    for index, domain in enumerate(dataset.domains):
        available = round(int(dataset.samples_per_stream[index]) * float(per_sample[index]))
        pool = round(int(dataset.samples_per_pool[index]) * float(per_sample[index]))
        share = float(dataset.streams[index].proportion)
        result[domain] = DomainTokens(
            proportion=min(share, 1.0),
            planned_tokens=round(planned * share) * length,
            seen_tokens=seen[domain],
            unique_tokens=unique[domain],
            available_tokens=available,
            pool_tokens=pool,
            epochs=seen[domain] / pool,
        )
    return result


def _planned_samples(config: RunConfig, prepared: PreparedRun) -> int:
    """Turn `max_duration` into samples."""
    amount = int(config.max_duration.rstrip("abcdefghijklmnopqrstuvwxyz"))
    unit = config.max_duration[len(str(amount)) :]
    samples = {
        "tok": amount / config.max_seq_len,
        "sp": amount,
        "ba": amount * config.global_train_batch_size,
        "ep": amount * int(prepared.dataset.epoch_size),
    }
    return math.ceil(samples[unit])


def domain_losses(evaluation: EvaluationLog, shardset: ShardSet | None) -> dict[str, DomainLoss]:
    """State the losses of the last evaluation by domain; bits per byte need a shard set."""
    return {
        domain: DomainLoss(
            loss_nats=loss,
            standard_error=error,
            tokens=tokens,
            perplexity=_perplexity(loss),
            bits_per_byte=_bits_per_byte(loss, domain, shardset),
            masked_accuracy=evaluation.accuracy.get(domain, (None, None))[0],
            masked_accuracy_error=evaluation.accuracy.get(domain, (None, None))[1],
        )
        for domain, (loss, error, tokens) in evaluation.last.items()
    }


def _perplexity(loss_nats: float) -> float:
    """Raise e to the loss; JSON has no infinity."""
    try:
        return math.exp(loss_nats)
    except OverflowError:
        return sys.float_info.max


def _bits_per_byte(loss: float, domain: str, shardset: ShardSet | None) -> float | None:
    if shardset is None or domain not in shardset.domains:
        return None
    split = shardset.domains[domain][VALIDATION]
    return loss / math.log(2) * split.tokens / split.text_bytes if split.text_bytes else None
