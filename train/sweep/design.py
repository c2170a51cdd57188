"""The mixtures that the design of an experiment asks for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mixscale.contracts.config import format_tokens
from mixscale.contracts.experiment import (
    BaseMixture,
    DdoDesign,
    Experiment,
    ExplicitDesign,
    SwarmDesign,
)
from mixscale.contracts.run_record import Role
from mixscale.contracts.shardset import ShardSet
from mixscale.train.sweep.swarm import draw_mixtures


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
        words = [self.mixture or self.role, self.domain or "", format_tokens(self.scale_tokens)]
        return "-".join(word for word in words if word)


def design_points(experiment: Experiment, shardset: ShardSet) -> Iterator[Point]:
    """Yield the mixtures that an experiment asks for, scale after scale."""
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
    # Proxies that repeat as the target does may repeat as often as a mixture of it would.
    epochs = experiment.max_proxy_epochs if experiment.repeated_tokens is None else math.inf
    ceilings = {
        domain: shardset.train_tokens(domain) * epochs / max(design.scales) for domain in prior
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


def mixture_of(base: BaseMixture, shardset: ShardSet) -> dict[str, float]:
    """Turn `uniform`, `natural` or shares by name into shares by domain."""
    domains = shardset.domain_names
    if isinstance(base, Mapping):
        return {domain: base.get(domain, 0.0) for domain in domains}
    if base == "uniform":
        return dict.fromkeys(domains, 1 / len(domains))
    tokens = {domain: shardset.train_tokens(domain) for domain in domains}
    return {domain: count / sum(tokens.values()) for domain, count in tokens.items()}
