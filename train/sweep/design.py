"""From an experiment to the runs it consists of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixscale.contracts.config import format_tokens, validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import (
    BaseMixture,
    DdoDesign,
    Experiment,
    ExplicitDesign,
    SwarmDesign,
)
from mixscale.contracts.run_record import Role
from mixscale.contracts.shardset import TRAIN, VALIDATION, ShardSet
from mixscale.train.config import PAIRED, RunConfig
from mixscale.train.sweep.swarm import draw_mixtures

_OURS = {
    "run_name", "metadata", "max_seq_len", "seed", "tokenizer", "train_loader", "eval_loader",
    "max_duration", "eval_interval", "eval_subset_num_batches",
}  # fmt: skip
"""Keys of run.yaml that the design sets."""

_DEFAULT_MODEL = {
    "name": "hf_causal_lm",
    "pretrained_model_name_or_path": "gpt2",
    "pretrained": False,
    "config_overrides": {"n_embd": 64, "n_layer": 2, "n_head": 2},
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One mixture to train on at one scale."""

    role: Role
    scale_tokens: int
    tokens: Mapping[str, float]
    """Tokens wanted of each domain."""
    domain: str | None = None
    factor: float = 1.0
    mixture: str | None = None

    @property
    def label(self) -> str:
        """A readable name, unique within a sweep and seed."""
        parts = [self.mixture or self.role, self.domain or "", format_tokens(self.scale_tokens)]
        return "-".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a sweep, ready to be trained."""

    name: str
    point: Point
    seed: int
    samples: Mapping[str, int]
    """Whole samples of each domain."""
    config: RunConfig

    @property
    def tokens(self) -> int:
        """Tokens of the run."""
        return sum(self.samples.values()) * self.config.max_seq_len

    @property
    def evaluation_tokens(self) -> int:
        """Of all validation domains, once."""
        batch = self.config.device_eval_batch_size * self.config.max_seq_len
        return self.config.eval_subset_num_batches * batch * len(self.config.eval_loader)

    @property
    def cost(self) -> float:
        """The run's time against other runs', in tokens of training."""
        # A forward pass is a third of the work (Kaplan et al., arXiv 2001.08361, sec. 2.1).
        return self.tokens + self.evaluation_tokens / 3

    @property
    def identity(self) -> dict[str, Any]:
        """Fields of the run record that say what the run is for."""
        return {
            "sweep": self.config.metadata["sweep"],
            "role": self.point.role,
            "domain": self.point.domain,
            "factor": self.point.factor,
            "mixture": self.point.mixture,
            "scale_tokens": self.point.scale_tokens,
        }


def plan_runs(experiment: Experiment, shardset: ShardSet) -> list[PlannedRun]:
    """List the runs of an experiment.

    Raises:
        UserError: The shard set has too few tokens, or a name does not exist.
    """
    _check_names(experiment, shardset)
    _check_validation(experiment, shardset)
    points = list(_points(experiment, shardset))
    for point in points:
        _check_supply(point, experiment, shardset)
    wanted = [(seed, point) for seed in experiment.seeds for point in points]
    if isinstance(experiment.design, DdoDesign):
        cheap = [point for point in points if point.scale_tokens == experiment.design.scales[0]]
        wanted += [(seed, point) for seed in experiment.design.noise_seeds for point in cheap]
    return [_planned(point, seed, experiment, shardset) for seed, point in wanted]


def mixture_of(base: BaseMixture, shardset: ShardSet) -> dict[str, float]:
    """Turn `uniform`, `natural` or shares by name into shares by domain."""
    domains = shardset.domain_names
    if isinstance(base, Mapping):
        return {domain: base.get(domain, 0.0) for domain in domains}
    if base == "uniform":
        return dict.fromkeys(domains, 1 / len(domains))
    tokens = {domain: shardset.train_tokens(domain) for domain in domains}
    return {domain: count / sum(tokens.values()) for domain, count in tokens.items()}


def _points(experiment: Experiment, shardset: ShardSet) -> Iterator[Point]:
    design = experiment.design
    if isinstance(design, SwarmDesign):
        yield from _swarm(design, experiment, shardset)
        return
    for scale in design.scales:
        if isinstance(design, DdoDesign):
            yield from _ddo(design, scale, shardset)
        else:
            yield from _explicit(design, scale)


def _ddo(design: DdoDesign, scale: int, shardset: ShardSet) -> Iterator[Point]:
    """Base, then each domain's tokens times and divided by the factor (arXiv 2407.20177)."""
    shares = mixture_of(design.base, shardset)
    base = {domain: share * scale for domain, share in shares.items()}
    yield Point(role="base", scale_tokens=scale, tokens=base)
    roles: dict[Role, float] = {"increased": design.factor, "reduced": 1 / design.factor}
    for domain, tokens in base.items():
        for role, factor in roles.items():
            if design.changes not in ("both", role):
                continue
            yield Point(
                role=role,
                scale_tokens=scale,
                tokens={**base, domain: tokens * factor},
                domain=domain,
                factor=factor,
            )


def _swarm(design: SwarmDesign, experiment: Experiment, shardset: ShardSet) -> Iterator[Point]:
    prior = mixture_of(design.prior, shardset)
    # The same mixtures at every scale: only then does scale alone differ. The largest decides.
    ceilings = {
        domain: shardset.train_tokens(domain) * experiment.max_proxy_epochs / max(design.scales)
        for domain in prior
    }
    mixtures = draw_mixtures(design, prior, ceilings, experiment.seeds[0])
    for scale in design.scales:
        for number, shares in enumerate((mixtures * scale).tolist()):
            yield Point(
                role="mixture",
                scale_tokens=scale,
                tokens=dict(zip(prior, shares, strict=True)),
                mixture=f"mixture{number:03d}",
            )


def _explicit(design: ExplicitDesign, scale: int) -> Iterator[Point]:
    for name, shares in design.mixtures.items():
        tokens = {domain: share * scale for domain, share in shares.items()}
        yield Point(role="mixture", scale_tokens=scale, tokens=tokens, mixture=name)


def _planned(point: Point, seed: int, experiment: Experiment, shardset: ShardSet) -> PlannedRun:
    length = shardset.sequence_length
    samples = {
        domain: max(round(point.tokens.get(domain, 0.0) / length), 0)
        for domain in shardset.domain_names
    }
    config = _config(point, seed, samples, experiment, shardset)
    return PlannedRun(
        name=f"{experiment.name}-{point.label}-s{seed}",
        point=point,
        seed=seed,
        samples=samples,
        config=config,
    )


def _config(
    point: Point, seed: int, samples: Mapping[str, int], experiment: Experiment, shardset: ShardSet
) -> RunConfig:
    total = sum(samples.values())
    length = shardset.sequence_length
    root = Path(experiment.shardset)
    eval_batch = int(experiment.run.get("device_eval_batch_size", 16))
    points = experiment.evaluation.points
    values = {
        "model": _DEFAULT_MODEL,
        **experiment.run,
        "metadata": {"sweep": experiment.name, "run": point.label, "seed": seed},
        "max_seq_len": length,
        "seed": seed,
        "tokenizer": {"name": str(root / shardset.tokenizer.path)},
        "train_loader": {
            "name": "text",
            "dataset": {
                "streams": {
                    domain: {
                        "local": str(root / domain),
                        "split": TRAIN,
                        "proportion": count / total,
                    }
                    for domain, count in samples.items()
                },
                "shuffle": True,
                "shuffle_algo": PAIRED,
                "shuffle_seed": seed if experiment.order_seed is None else experiment.order_seed,
                "epoch_size": total,
                "max_seq_len": length,
            },
            "drop_last": False,
        },
        "eval_loader": [_eval_loader(root, domain, length) for domain in shardset.domain_names],
        "max_duration": f"{total * length}tok",
        "eval_interval": "1dur" if points == 1 else f"{-(-total * length // points)}tok",
        "eval_subset_num_batches": _eval_batches(experiment, length, eval_batch),
        "device_eval_batch_size": eval_batch,
    }
    return validate(values, RunConfig, f"experiment {experiment.name!r}: run")


def _eval_loader(root: Path, domain: str, length: int) -> dict[str, Any]:
    stream = {"local": str(root / domain), "split": VALIDATION}
    return {
        "name": "text",
        "label": domain,
        "dataset": {"streams": {domain: stream}, "shuffle": False, "max_seq_len": length},
    }


def _eval_batches(experiment: Experiment, length: int, batch: int) -> int:
    return max(1, round(experiment.evaluation.tokens_per_domain / (length * batch)))


def _check_names(experiment: Experiment, shardset: ShardSet) -> None:
    known = set(shardset.domain_names)
    named: dict[str, set[str]] = {
        "objective.weights": set(experiment.objective.weights or {}),
        "constraints.fixed": set(experiment.constraints.fixed),
    }
    for key in ("floor", "ceiling"):
        value = getattr(experiment.constraints, key)
        named[f"constraints.{key}"] = set(value) if isinstance(value, Mapping) else set()
    design = experiment.design
    if isinstance(design, DdoDesign) and isinstance(design.base, Mapping):
        named["design.base"] = set(design.base)
    if isinstance(design, ExplicitDesign):
        named["design.mixtures"] = {name for shares in design.mixtures.values() for name in shares}
    for key, names in named.items():
        if names - known:
            raise UserError(
                f"{key}: {sorted(names - known)} are no domains of the shard set; "
                f"it has {sorted(known)}"
            )
    taken = sorted(set(experiment.run) & _OURS)
    if taken:
        raise UserError(f"run: {taken} are set by the design; remove them")


def _check_validation(experiment: Experiment, shardset: ShardSet) -> None:
    length = shardset.sequence_length
    batch = int(experiment.run.get("device_eval_batch_size", 16))
    wanted = _eval_batches(experiment, length, batch) * batch
    for domain, splits in shardset.domains.items():
        samples = splits[VALIDATION].samples
        if samples < min(wanted, -(-experiment.evaluation.tokens_per_domain // length)):
            raise UserError(
                f"evaluation.tokens_per_domain: {experiment.evaluation.tokens_per_domain} tokens "
                f"are {wanted} samples, but domain {domain!r} has {samples} for validation; lower "
                "it, or give the split more documents in corpus.yaml"
            )


def _check_supply(point: Point, experiment: Experiment, shardset: ShardSet) -> None:
    for domain, tokens in point.tokens.items():
        available = shardset.train_tokens(domain)
        if tokens > available * experiment.max_proxy_epochs:
            raise UserError(
                f"run {point.label!r} needs {format_tokens(tokens)} tokens of {domain!r}, but the "
                f"shard set has {format_tokens(available)}, which max_proxy_epochs: "
                f"{experiment.max_proxy_epochs:g} stretches to "
                f"{format_tokens(available * experiment.max_proxy_epochs)}; lower the scales, add "
                "text, or raise max_proxy_epochs"
            )
        # Of a random mixture a share that small is rounded, to nothing or to one sample.
        is_written = not isinstance(experiment.design, SwarmDesign)
        if is_written and 0 < tokens < shardset.sequence_length:
            raise UserError(
                f"run {point.label!r} takes {tokens:.0f} tokens of {domain!r}: less than one "
                f"sample of {shardset.sequence_length}; raise the scales"
            )
