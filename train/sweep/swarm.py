"""Mixtures drawn around a prior, within bounds and apart from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import SwarmDesign

Floats = NDArray[np.float64]

_BLOCKS = (64, 64, 128, 256, 512, 1024, 2048, *[4096] * 31)
"""Candidates drawn at a time; in powers of two, as Sobol points want."""
_TOO_NEAR = 5000
"""Candidates in a row that may lie too near to those taken."""


def draw_mixtures(
    design: SwarmDesign, prior: Mapping[str, float], ceilings: Mapping[str, float], seed: int
) -> Floats:
    """Draw the mixtures of a swarm; a larger swarm begins with the smaller one.

    Candidates beyond a ceiling or too near to an earlier mixture are left out: what remains
    follows the same distribution within the bounds.

    Args:
        design: How many, how spread, how far apart.
        prior: Shares by domain; a domain with none gets none.
        ceilings: The largest share of each domain that its text allows.
        seed: Equal seeds give equal mixtures.

    Returns:
        (mixtures, domains) shares in the order of `prior`; rows sum to 1.

    Raises:
        UserError: There are not that many within the bounds.
    """
    names = list(prior)
    highest = np.array([ceilings[name] for name in names])
    present = np.array([prior[name] > 0 for name in names])
    if highest[present].sum() < 1:
        raise UserError(
            f"design: the text allows at most {_listed(names, highest, present)} of a mixture, "
            "less than a whole one; lower the scales, add text, or raise max_proxy_epochs"
        )
    weights = np.array([prior[name] for name in names if prior[name] > 0])
    parameters = design.concentration * len(weights) * weights
    taken = np.zeros((0, len(names)))
    too_near = beyond = 0
    for block in _candidates(design, parameters, seed):
        candidates = np.zeros((len(block), len(names)))
        candidates[:, present] = block
        fits = (candidates <= highest).all(axis=1)
        beyond += int((~fits).sum())
        for candidate in candidates[fits]:
            if distances(taken, candidate).min(initial=1.0) < design.min_distance:
                too_near += 1
                if too_near < _TOO_NEAR:
                    continue
                raise _no_room_apart(design, len(taken))
            taken = np.vstack([taken, candidate])
            too_near = 0
            if len(taken) == design.mixtures:
                return taken
    raise UserError(
        f"design: of {sum(_BLOCKS)} mixtures drawn around the prior, {beyond} ask for more of a "
        f"domain than there is (at most {_listed(names, highest, present)}), and only "
        f"{len(taken)} of the {design.mixtures} wanted are left; lower the scales, add text, raise "
        "max_proxy_epochs, or move the prior away from scarce domains"
    )


def distances(mixtures: Floats, mixture: Floats) -> Floats:
    """Compare mixtures with one: half the summed absolute differences.

    This total variation distance is the share of the tokens that two mixtures do not have in
    common.

    Args:
        mixtures: (mixtures, domains) shares.
        mixture: (domains,) shares.

    Returns:
        (mixtures,) distances in [0, 1].
    """
    return np.abs(mixtures - mixture).sum(axis=1) / 2


def dirichlet_quantile(points: Floats, parameters: Floats) -> Floats:
    """Map the unit cube to the simplex so that uniform points become Dirichlet points.

    The first share follows Beta(a_1, a_2 + ... + a_k); the others, divided by what it leaves, are
    again Dirichlet (Connor and Mosimann 1969, JASA 64:194). Inverting these conditional
    distributions one after the other (Rosenblatt 1952, Ann. Math. Stat. 23:470) is continuous and
    one to one: points that are spread evenly in the cube stay so on the simplex. With all
    parameters 1 it is the map of Fang and Wang (1994, Number-theoretic Methods in Statistics,
    sec. 1.5) to the uniform distribution.

    Args:
        points: (points, domains - 1) in the unit cube.
        parameters: (domains,) Dirichlet parameters.

    Returns:
        (points, domains) shares, rows sum to 1.
    """
    from scipy.special import betaincinv

    rest = np.cumsum(parameters[::-1])[::-1]
    left = np.ones(len(points))
    shares = []
    for column, (own, others) in enumerate(zip(parameters[:-1], rest[1:], strict=True)):
        shares.append(left * betaincinv(own, others, points[:, column]))
        left = left - shares[-1]
    return np.column_stack([*shares, np.maximum(left, 0)])


def _candidates(design: SwarmDesign, parameters: Floats, seed: int) -> Iterator[Floats]:
    """Yield blocks of Dirichlet points: independent ones, or an even spread."""
    if design.sampling == "dirichlet" or len(parameters) == 1:
        rng = np.random.default_rng(seed)
        yield from (rng.dirichlet(parameters, size) for size in _BLOCKS)
        return
    from scipy.stats.qmc import Sobol

    # scipy 1.15 calls it `rng`, too, but older ones know this name alone.
    sequence = Sobol(len(parameters) - 1, scramble=True, seed=seed)  # pyright: ignore[reportCallIssue]
    yield from (dirichlet_quantile(sequence.random(size), parameters) for size in _BLOCKS)


def _no_room_apart(design: SwarmDesign, found: int) -> UserError:
    return UserError(
        f"design.min_distance: {design.min_distance:g} is too large: after {found} of "
        f"{design.mixtures} mixtures, {_TOO_NEAR} more lay too near to one of them; lower it, ask "
        "for fewer mixtures, or lower the concentration"
    )


def _listed(names: list[str], highest: Floats, present: NDArray[np.bool_]) -> str:
    limits = [
        f"{ceiling:.1%} {name}"
        for name, ceiling, used in zip(names, highest, present, strict=True)
        if used and ceiling < 1
    ]
    return ", ".join(limits)
