"""The mixture that a record advises, beside the one in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord, Interval, Mixture, Recommendation

_SAME = 5e-4
"""Shares that differ by less look the same."""


@dataclass(frozen=True, kw_only=True)
class Advised:
    """One decision of a record, with the mixtures that it is about."""

    mixture: Mixture
    said: Recommendation
    now: Mapping[str, float]
    """The mixture in use."""

    @property
    def change(self) -> bool:
        """Whether another mixture than the one in use is advised."""
        return self.said.action != "keep what you have"

    @property
    def shares(self) -> Mapping[str, float]:
        """What to train on."""
        return self.mixture.recommended or (
            self.mixture.proportions if self.said.action == "change" else self.now
        )

    @property
    def run(self) -> str:
        """The run that it is for, as in `300B tokens and 7B parameters`; empty if not known."""
        return run_of(self.mixture)

    def interval(self, domain: str) -> Interval | None:
        """90 % interval of the advised share: that of the best one, as far as the step goes."""
        if self.said.action != "change" or self.mixture.intervals is None:
            return None
        start, step = self._start[domain], self.said.step_size
        low, high = (start + step * (end - start) for end in self.mixture.intervals[domain])
        return min(low, self.shares[domain]), max(high, self.shares[domain])

    @property
    def changes(self) -> dict[str, float]:
        """Advised less present share, of the domains where that is to be seen, largest first."""
        moved = {name: self.shares[name] - share for name, share in self.now.items()}
        seen = {name: by for name, by in moved.items() if abs(by) >= _SAME}
        return dict(sorted(seen.items(), key=lambda item: -abs(item[1])))

    @property
    def _start(self) -> Mapping[str, float]:
        """What the step starts from: the mixture in use, or the allowed one nearest to it."""
        nearest = (gain.proportions for gain in self.mixture.gains if gain.over == self.said.over)
        return self.now if self.said.over == "current" else next(nearest, self.now)


def advised(record: FitRecord) -> Advised:
    """The decision for the largest run that was asked for, or else measured."""
    asked = all_advised(record)
    return max(asked, key=lambda one: one.mixture.token_budget or 0)


def all_advised(record: FitRecord) -> list[Advised]:
    """A decision for each run that was asked for, or else that of the largest measured scale."""
    asked = [m for m in record.mixtures if m.kind == "projected"] or list(record.mixtures[-1:])
    return [said_of(record, m, m.decision or record.recommended) for m in asked]


def run_of(mixture: Mixture) -> str:
    """The run of a mixture in words; empty where its tokens are not known."""
    if mixture.token_budget is None:
        return ""
    parameters = mixture.parameters
    if not parameters or not mixture.size_given or mixture.kind != "projected":
        return f"{format_tokens(mixture.token_budget)} tokens"
    size = f" and {format_tokens(parameters)} parameters"
    return f"{format_tokens(mixture.token_budget)} tokens{size}"


def said_of(record: FitRecord, mixture: Mixture, said: Recommendation) -> Advised:
    """A decision on a mixture, beside the one in use."""
    return Advised(mixture=mixture, said=said, now=_now(record, said))


def _now(record: FitRecord, said: Recommendation) -> Mapping[str, float]:
    """The mixture in use; records of early versions name it in the gains alone."""
    if said.current is not None:
        return said.current
    over = (gain.proportions for gain in record.gains if gain.over == "current")
    return next(over, {name: 1 / len(record.domains) for name in record.domains})
