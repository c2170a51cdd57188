"""Experiments that ask for what the shard set cannot give are refused here."""

from __future__ import annotations

from collections.abc import Mapping

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import DdoDesign, Experiment, SwarmDesign
from mixscale.contracts.shardset import VALIDATION, ShardSet
from mixscale.train.sweep.design import Point
from mixscale.train.sweep.pools import check_pools
from mixscale.train.sweep.run_config import (
    SET_BY_DESIGN,
    evaluation_batch_size,
    evaluation_batches,
)


def check_names(experiment: Experiment, shardset: ShardSet) -> None:
    """Refuse names that are no domains, and keys of a run that the design sets.

    Raises:
        UserError: Names the key and what is known.
    """
    known = set(shardset.domain_names)
    for key, names in _named(experiment).items():
        if names - known:
            raise UserError(
                f"{key}: {sorted(names - known)} are no domains of the shard set; "
                f"it has {sorted(known)}"
            )
    design = experiment.design
    if isinstance(design, DdoDesign | SwarmDesign) and len(known) < 2:
        raise UserError(
            f"design: the shard set has the domain {known.pop()!r} alone: nothing to mix"
        )
    if isinstance(design, DdoDesign):
        _check_base(design, shardset)
    try:
        experiment.constraints.check_domains(shardset.domain_names)
    except ValueError as error:
        raise UserError(f"constraints: {error}") from error
    taken = sorted(set(experiment.run) & SET_BY_DESIGN)
    if taken:
        raise UserError(f"run: {taken} are set by the design; remove them")


def _named(experiment: Experiment) -> dict[str, set[str]]:
    """List the domains that an experiment names, by the key that names them."""
    constraints, design = experiment.constraints, experiment.design
    named: dict[str, object] = {
        "objective.weights": experiment.objective.weights,
        "constraints.fixed": constraints.fixed,
        "constraints.floor": constraints.floor,
        "constraints.ceiling": constraints.ceiling,
        "constraints.prior": constraints.prior,
    }
    for name, group in constraints.groups.items():
        named[f"constraints.groups.{name}.domains"] = dict.fromkeys(group.domains)
    if isinstance(design, DdoDesign):
        named["design.base"] = design.base
    elif isinstance(design, SwarmDesign):
        named["design.prior"] = design.prior
    else:
        for mixture, shares in design.mixtures.items():
            named[f"design.mixtures.{mixture}"] = shares
    return {key: set(value) for key, value in named.items() if isinstance(value, Mapping)}


def _check_base(design: DdoDesign, shardset: ShardSet) -> None:
    """Refuse a base that lacks a domain: no multiple of nothing can be measured."""
    if isinstance(design.base, Mapping):
        lacking = sorted(set(shardset.domain_names) - set(design.base))
        if lacking:
            raise UserError(
                f"design.base: {lacking} have no share; each domain's tokens are multiplied and "
                "divided, so the base needs some of each"
            )


def check_validation(experiment: Experiment, shardset: ShardSet) -> None:
    """Refuse to evaluate on more samples than a domain has.

    Raises:
        UserError: Gives both numbers.
    """
    length = shardset.sequence_length
    batch = evaluation_batch_size(experiment)
    wanted = evaluation_batches(experiment, length, batch) * batch
    for domain, splits in shardset.domains.items():
        samples = splits[VALIDATION].samples
        if samples < min(wanted, -(-experiment.evaluation.tokens_per_domain // length)):
            raise UserError(
                f"evaluation.tokens_per_domain: {experiment.evaluation.tokens_per_domain} tokens "
                f"are {wanted} samples, but domain {domain!r} has {samples} for validation; lower "
                "it, or give the split more documents in corpus.yaml"
            )


def check_supply(point: Point, experiment: Experiment, shardset: ShardSet) -> None:
    """Refuse a mixture that takes too much, or less than one sample, of a domain.

    Raises:
        UserError: Gives the numbers.
    """
    used = [domain for domain, tokens in point.tokens.items() if tokens]
    check_pools(point.scale_tokens, used, experiment, shardset)
    limited = experiment.repeated_tokens is None
    for domain, tokens in point.tokens.items():
        available = shardset.train_tokens(domain)
        if limited and tokens > available * experiment.max_proxy_epochs:
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
