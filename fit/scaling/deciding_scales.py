"""Which measured scales have enough runs for a law to be fitted to, and to decide from."""

from __future__ import annotations

from dataclasses import dataclass

from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Law

_SPACING = 1.5
"""Of scales that answers are taken from, where they are checkpoints of the same runs: closer ones
share their noise, and tell nothing more of how the optimum moves."""
_APART = 2.0
"""Largest over smallest run from which the runs of no fixed scale tell about other budgets."""


@dataclass(frozen=True, kw_only=True)
class DecidingScales:
    """The scales that answers are taken from."""

    scales: tuple[float, ...]
    """Increasing; the last one decides."""
    together: bool
    """Whether the law is fitted to the runs of all scales for it: none has enough by itself."""
    reach: bool
    """Whether a law of all scales may be asked about other token budgets."""
    too_few: bool
    """Whether all runs that the law is fitted to are fewer than its coefficients."""
    left_out: dict[float, tuple[int, int]]
    """Runs and coefficients of each scale with too few runs."""


def deciding_scales(runs: Runs, law: Law) -> DecidingScales:
    """Find the scales with at least as many runs as the law has coefficients.

    Where there are models of several sizes these are scales of the largest: what a mixture does for
    it is measured there. The runs of the others tell how the objective goes on with size. Of the
    many scales that checkpoints have, some are taken that lie apart.

    Where none has, a law that spans scales is fitted to all runs, and the largest token budget
    decides that as many runs reach as the law has coefficients. A law that does not is fitted to
    the scale with the most runs, and decides nothing.
    """
    enough, left_out = [], {}
    largest = runs.of_largest_size
    for scale in largest.scales.tolist():
        few = largest.at(scale)
        needed = _coefficients(law, few)
        if len(few) >= needed:
            enough.append(scale)
        else:
            left_out[scale] = (len(few), needed)
    if enough and largest.independent_part < 1:
        enough = _spaced(enough)
    if enough:
        return DecidingScales(
            scales=tuple(enough),
            together=False,
            reach=len(enough) > 1 or len(runs.sizes) > 1,
            too_few=False,
            left_out=left_out,
        )
    needed = _coefficients(law, runs)
    totals = runs.tokens.sum(-1)
    if not law.spans_scales:
        most = max(left_out, key=lambda scale: (left_out[scale][0], scale))
        return DecidingScales(
            scales=(most,), together=False, reach=False, too_few=True, left_out=left_out
        )
    scales = largest.scales.tolist()
    reached = [s for s in scales if int((runs.scale >= s).sum()) >= needed]
    apart = bool(totals.max() >= _APART * totals.min()) or len(runs.sizes) > 1
    return DecidingScales(
        scales=(reached[-1] if reached else scales[-1],),
        together=True,
        reach=bool(reached) and apart,
        too_few=not reached,
        left_out=left_out,
    )


def _spaced(scales: list[float]) -> list[float]:
    """Some of increasing scales, the last among them, each clearly larger than the one before."""
    kept = scales[-1:]
    for scale in reversed(scales[:-1]):
        if scale * _SPACING <= kept[0]:
            kept.insert(0, scale)
    return kept


def _coefficients(law: Law, runs: Runs) -> int:
    return 0 if law.coefficients is None else law.coefficients(runs)
