"""The part of each domain's text that a proxy run may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment
from mixscale.contracts.shardset import TRAIN, ShardSet


def pools_of_scale(
    scale_tokens: int, experiment: Experiment, shardset: ShardSet
) -> dict[str, int] | None:
    """Count the samples of each domain that the runs of a scale may see.

    The same part of each domain's samples as the scale is of the target's tokens (arXiv
    2606.07597): a proxy run that takes a share `h` of a domain reads its pool `h * scale / pool`
    times, the target its text `h * target / text` times, and the two are equal. The scale counts,
    not the tokens of the single run, so that runs of one scale that differ in one domain have the
    same pools.

    Returns:
        Samples by domain, rounded, at least one; None when each run may see all of them.
    """
    target = experiment.repeated_tokens
    if target is None:
        return None
    samples = {domain: splits[TRAIN].samples for domain, splits in shardset.domains.items()}
    # In whole numbers: a scale that is the target has every sample.
    return {
        domain: max(1, (2 * count * scale_tokens + target) // (2 * target))
        for domain, count in samples.items()
    }


def check_pools(
    scale_tokens: int, used: Iterable[str], experiment: Experiment, shardset: ShardSet
) -> None:
    """Refuse a scale at which the pool of a domain would be less than one sample.

    Args:
        scale_tokens: The scale.
        used: The domains that its mixtures take from.
        experiment: Says what the proxies repeat as.
        shardset: The text.

    Raises:
        UserError: Names the domain with the least text, and the smallest scale.
    """
    target = experiment.repeated_tokens
    samples = {domain: shardset.domains[domain][TRAIN].samples for domain in used}
    if target is None or not samples:
        return
    scarcest = min(samples, key=lambda domain: samples[domain])
    if samples[scarcest] * scale_tokens < target:
        smallest = -(-target // samples[scarcest]) if samples[scarcest] else None
        raise UserError(
            f"design.repetition: at {format_tokens(scale_tokens)} tokens of the target's "
            f"{format_tokens(target)}, the pool of {scarcest!r} would be "
            f"{samples[scarcest] * scale_tokens / target:.2g} of a sample: it has "
            f"{samples[scarcest]} for training"
            + (f"; the smallest scale with a sample of it is {smallest} tokens" if smallest else "")
            + "; raise the scales, add text, or give a smaller target: "
            "repetition: {as_target: TOKENS}"
        )


def supply_tokens(pools: Mapping[str, int] | None, shardset: ShardSet) -> dict[str, int]:
    """Count the tokens of each domain that a run may see."""
    if pools is None:
        return {domain: shardset.train_tokens(domain) for domain in shardset.domain_names}
    return {domain: count * shardset.sequence_length for domain, count in pools.items()}
