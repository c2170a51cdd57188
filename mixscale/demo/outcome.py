"""What the demo found: what was predicted, what was measured, in three lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixscale.api.comparison import MetricDifference
from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord, Interval
from mixscale.contracts.run_record import RunRecord
from mixscale.demo.check import EQUAL, NATURAL, ONLY, OTHERS, RECOMMENDED, Check

_QUANTILE_95 = 1.96
"""Of the standard normal distribution, two-sided."""
_WORDS = {
    EQUAL: EQUAL,
    NATURAL: "all text as found",
    ONLY: "only what counts, in equal parts",
}


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much lower the objective is than with another mixture, nats per token."""

    value: float
    interval: Interval
    """95 %, over other validation text of the same domains; it knows nothing of other seeds."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A prediction beside what was measured."""

    action: str
    """What the fit advises."""
    mixture: Mapping[str, float]
    """Share by domain, as it was trained."""
    predicted_gain: float | None
    """Over equal shares, which the experiment starts from."""
    predicted_interval: Interval | None
    """90 %."""
    predicted_at: int
    """Token budget that the law speaks of: that of the run, or else of the proxies."""
    losses: Mapping[str, float]
    """The objective by mixture."""
    gains: Mapping[str, Gain]
    """Measured, over each other mixture."""
    page: Path

    @property
    def came_true(self) -> bool | None:
        """Whether the gain over equal shares is in the interval predicted; None without one."""
        if self.predicted_interval is None:
            return None
        low, high = self.predicted_interval
        return low <= self.gains[EQUAL].value <= high

    def report(self) -> Iterator[str]:
        """Hold what was predicted against what was measured, for a person."""
        if self.predicted_gain is not None and self.predicted_interval is not None:
            low, high = self.predicted_interval
            yield (
                f"Predicted gain over {EQUAL}: {self.predicted_gain:+.2f} nats per token (90 %: "
                f"{low:+.2f} to {high:+.2f}),"
            )
            yield f"at {format_tokens(self.predicted_at)} tokens. {self._kept()}"
        yield "Measured gain, 95 % by other validation text:"
        for other, gain in self.gains.items():
            low, high = gain.interval
            yield f"  over {_WORDS[other]}: {gain.value:+.3f} ({low:+.3f} to {high:+.3f})"

    def _kept(self) -> str:
        if self.came_true:
            return "It came true."
        more = self.gains[EQUAL].value > (self.predicted_gain or 0)
        return f"It was {'more' if more else 'less'} than predicted."

    def lines(self) -> Iterator[str]:
        """Mixture, measured gain, page."""
        shares = sorted(self.mixture.items(), key=lambda item: -item[1])
        yield f"Mixture: {', '.join(f'{share:.0%} {name}' for name, share in shares)}"
        gains = [
            f"{self.gains[other].value:+.2f} nats over {_WORDS[other]}" for other in OTHERS[:2]
        ]
        yield f"Measured gain: {', '.join(gains)}"
        yield f"Page: {self.page}"

    def as_json(self) -> dict[str, Any]:
        """Write the outcome as plain values."""
        return {
            "action": self.action,
            "mixture": dict(self.mixture),
            "predicted_gain": self.predicted_gain,
            "predicted_interval": self.predicted_interval,
            "predicted_at": self.predicted_at,
            "losses": dict(self.losses),
            "gains": {other: gain.value for other, gain in self.gains.items()},
            "intervals": {other: gain.interval for other, gain in self.gains.items()},
            "came_true": self.came_true,
            "page": str(self.page),
        }


def outcome(
    record: FitRecord, tokens: int, objective: Mapping[str, float], found: Check, page: Path
) -> Outcome:
    """Hold what the fit predicted against what the check measured.

    Args:
        record: The fit.
        tokens: Budget of the check.
        objective: Share of the objective by domain.
        found: The check.
        page: Where a person reads on.
    """
    mixture = next(
        one for one in record.mixtures if one.kind == "projected" and one.token_budget == tokens
    )
    decision = mixture.decision or record.recommended
    domains = found.records[RECOMMENDED].domains
    seen = sum(domain.seen_tokens for domain in domains.values())
    return Outcome(
        action=decision.action,
        mixture={name: domain.seen_tokens / seen for name, domain in domains.items()},
        predicted_gain=mixture.recommended_gain,
        predicted_interval=mixture.recommended_interval,
        predicted_at=decision.decided_at or tokens,
        losses={name: objective_of(one, objective) for name, one in found.records.items()},
        gains={other: _gain(of, objective) for other, of in found.differences.items()},
        page=page,
    )


def objective_of(record: RunRecord, objective: Mapping[str, float]) -> float:
    """Average a run's validation losses with the shares of the objective, nats per token."""
    return sum(share * record.evaluation[domain].loss_nats for domain, share in objective.items())


def _gain(by_domain: Mapping[str, MetricDifference], objective: Mapping[str, float]) -> Gain:
    """Average over domains, whose samples are independent."""
    value = sum(share * by_domain[domain].difference for domain, share in objective.items())
    errors = [
        share * (by_domain[domain].standard_error or 0) for domain, share in objective.items()
    ]
    half = _QUANTILE_95 * math.hypot(*errors)
    return Gain(value=value, interval=(value - half, value + half))
