"""Laws that add a floor, a part of the model and a part of the data.

Each validation loss is `E + A (P/P0)^-a + data term`. A law of this kind is its data term alone:
the floor, the model's size (`mixscale.fit.laws.shared.model_size`) and repeated tokens
(`mixscale.fit.laws.shared.repetition`) are the same for all. What is not known of the runs, sizes
or unique tokens, has no part in the law.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import FittedLaw, Law
from mixscale.fit.laws.shared import model_size, repetition
from mixscale.fit.laws.shared.model_size import ModelSize
from mixscale.fit.laws.shared.shrinkage import Units, WithFloor, drawn_priors, fit_shrunken
from mixscale.fit.laws.shared.smooth import SmoothLaw, smooth_law
from mixscale.fit.laws.shared.threads import in_threads

_FLOOR_BELOW = 5.0  # spreads of the losses below the least one: where the floor is looked for first
_SMALLEST = 1e-5  # of the unit: a domain without tokens has no logarithm


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is known of a term's parameters before there are runs."""

    low: Floats
    """(parameters,) bounds."""
    high: Floats
    centre: Floats
    """(parameters,)."""
    penalty: Floats
    """(terms, parameters) each `penalty @ (theta - centre)` is a standard normal."""
    common: int
    """How many of the terms, the first ones, say the same of every validation loss."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a term sees of runs."""

    log_x: Floats
    """(rows or 1, points, domains) of the unique tokens that the tokens are worth, in units."""
    log_total: Floats
    """(points,) of the tokens of all domains, in units."""


class DataTerm(Protocol):
    """The part of the data, above zero; the shape of a law."""

    @property
    def convex_repeating(self) -> bool:
        """Whether the term is convex in the shares at a given budget where domains repeat."""
        ...

    def prior(self, domains: int) -> Prior:
        """The prior for a number of domains."""
        ...

    def scaled(self, theta: Floats, log_factor: Floats) -> Floats:
        """(rows, parameters) of terms that are larger by (rows,) factors."""
        ...

    def values(self, theta: Floats, data: Data) -> Floats:
        """(rows, points) of (rows, parameters)."""
        ...

    def jacobian(self, theta: Floats, data: Data) -> tuple[Floats, Floats]:
        """(rows, points) values, and their (rows, points, parameters) derivatives."""
        ...

    def by_data(self, theta: Floats, data: Data) -> tuple[Floats, Floats]:
        """Derivatives by log x, (rows, points, domains), and by the log total, (rows, points)."""
        ...

    def describe(self, theta: Floats) -> dict[str, Any]:
        """One row of parameters, as JSON can hold them."""
        ...

    def read(self, described: dict[str, Any]) -> Floats:
        """The parameters of a description."""
        ...


@dataclass(frozen=True, kw_only=True)
class SumOfTerms:
    """A family of laws; parameters are E, log A, log a, log R as far as known, and the term's."""

    term: DataTerm
    unit: float
    """Tokens that count as 1."""
    size: ModelSize | None = None
    repeats: bool = False
    """Whether it is known how many unique tokens the domains had."""

    @classmethod
    def of(cls, term: DataTerm, runs: Runs) -> SumOfTerms:
        """The family with the typical size of some runs as its unit."""
        return cls(
            term=term,
            unit=float(np.exp(np.log(runs.tokens.sum(-1)).mean())),
            size=ModelSize.of(runs),
            repeats=repetition.known(runs),
        )

    @property
    def convex(self) -> bool:
        """Whether every prediction is convex in the shares at a given budget and size."""
        return self.term.convex_repeating or not self.repeats

    @property
    def before_term(self) -> int:
        """Parameters that are not the term's."""
        return 1 + (0 if self.size is None else 2) + self.repeats

    def fit(
        self,
        points: Points,
        losses: Floats,
        weight: Floats,
        start: Floats | None = None,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """(draws, validation, parameters)."""
        return _fit_rows(_Model(self, points), losses, weight, start, rng)

    def predict(self, theta: Floats, points: Points) -> Floats:
        """(rows, points) losses."""
        return _Model(self, points).values(theta)

    def slopes(self, theta: Floats, point: Points) -> Floats:
        """(rows, domains) derivatives by tokens."""
        return _Model(self, point).slopes_by_tokens(theta)[:, 0] / self.unit

    def tangents(self, theta: Floats, points: Points) -> Floats:
        """(rows, points, parameters) derivatives of the predictions by the parameters."""
        return _Model(self, points).jacobian(theta)[1]

    def describe(self, theta: Floats) -> dict[str, Any]:
        """Named parameters of one validation loss."""
        named: dict[str, Any] = {"unit_tokens": self.unit, "E": float(theta[0])}
        if self.size is not None:
            named["A"], named["a"] = np.exp(theta[1:3]).tolist()
            named["reference_parameters"] = self.size.reference
        if self.repeats:
            named["R"] = float(np.exp(theta[self.before_term - 1]))
        return named | self.term.describe(theta[self.before_term :])


class _Model(WithFloor):
    """Predictions at some runs."""

    def __init__(self, family: SumOfTerms, points: Points) -> None:
        self.family, self.points = family, points
        self.x = np.maximum(points.tokens / family.unit, _SMALLEST)
        self.total = self.x.sum(-1)
        self.plain = Data(log_x=np.log(self.x)[None], log_total=np.log(self.total))
        self.unique = repetition.unique_in(points, family.unit) if family.repeats else None
        self.log_size = None if family.size is None else family.size.logs(points)
        self.first = family.before_term

    @functools.cached_property
    def prior(self) -> Prior:
        """Of all parameters; the floor has none."""
        of_term = self.family.term.prior(self.x.shape[1])
        low, high, widths = [-300.0], [300.0], []
        if self.family.size is not None:
            low, high = [*low, *model_size.LOW], [*high, *model_size.HIGH]
            widths += model_size.WIDTHS.tolist()
        if self.family.repeats:
            low, high = [*low, repetition.LOW], [*high, repetition.HIGH]
            widths.append(repetition.WIDTH)
        terms, count = of_term.penalty.shape
        penalty = np.zeros((self.first - 1 + terms, self.first + count))
        penalty[: self.first - 1, 1 : self.first] = np.diag(1 / np.array(widths))
        penalty[self.first - 1 :, self.first :] = of_term.penalty
        return Prior(
            low=np.concatenate([low, of_term.low]),
            high=np.concatenate([high, of_term.high]),
            centre=np.concatenate([np.zeros(self.first), of_term.centre]),
            penalty=penalty,
            common=self.first - 1 + of_term.common,
        )

    @property
    def low(self) -> Floats:
        return self.prior.low

    @property
    def high(self) -> Floats:
        return self.prior.high

    @property
    def penalty(self) -> Floats:
        return self.prior.penalty

    def centre(self, units: Units) -> Floats:
        centre = np.tile(self.prior.centre, (len(units.shift), 1))
        if self.family.size is not None:
            centre[:, 1:3] = self.family.size.centre(units)
        if self.family.repeats:
            centre[:, self.first - 1] = repetition.CENTRE
        return centre

    def moved(self, theta: Floats, floor: Floats, log_factor: Floats) -> Floats:
        """Another floor, with terms that are larger by a factor."""
        moved = theta.copy()
        moved[:, 0] = floor
        if self.family.size is not None:
            moved[:, 1] += log_factor
        moved[:, self.first :] = self.family.term.scaled(theta[:, self.first :], log_factor)
        return moved

    def tightness(self, theta: Floats) -> Floats:
        return np.ones(len(theta))

    def start(self, y: Floats, weight: Floats, centre: Floats) -> Floats:
        theta = centre.copy()
        y = y - self._of_size(theta)
        least = np.where(weight > 0, y, np.inf).min(-1)
        theta[:, 0] = least - _FLOOR_BELOW
        # The mean run then has the mean loss.
        above = (weight * y).sum(-1) / weight.sum(-1) - theta[:, 0]
        term = self.family.term.values(theta[:1, self.first :], self.plain).mean()
        theta[:, self.first :] = self.family.term.scaled(
            theta[:, self.first :], np.log(above / term)
        )
        return theta

    def values(self, theta: Floats) -> Floats:
        of_term = self.family.term.values(theta[:, self.first :], self._data(self._repeated(theta)))
        return theta[:, :1] + self._of_size(theta) + of_term

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        repeated, phi = self._repeated(theta), theta[:, self.first :]
        data = self._data(repeated)
        values, by_phi = self.family.term.jacobian(phi, data)
        slopes = np.empty((*values.shape, theta.shape[1]))
        slopes[:, :, 0] = 1.0
        if self.log_size is not None:
            slopes[:, :, 1:3] = model_size.size_slopes(theta[:, 1:3], self.log_size)
        if self.family.repeats:
            slopes[:, :, self.first - 1] = 0.0
        if repeated is not None:
            worth, by_log_r, _ = repeated
            by_log_x, _ = self.family.term.by_data(phi, data)
            slopes[:, :, self.first - 1] = (by_log_x * by_log_r / worth).sum(-1)
        slopes[:, :, self.first :] = by_phi
        return theta[:, :1] + self._of_size(theta) + values, slopes

    def slopes_by_tokens(self, theta: Floats) -> Floats:
        """(rows, points, domains) derivatives by tokens, in units."""
        repeated = self._repeated(theta)
        data = self._data(repeated)
        by_log_x, by_log_total = self.family.term.by_data(theta[:, self.first :], data)
        per_token = 1 / self.x
        if repeated is not None:
            worth, _, by_tokens = repeated
            per_token = by_tokens / worth
        return by_log_x * per_token + (by_log_total / self.total)[:, :, None]

    def _of_size(self, theta: Floats) -> Floats | float:
        if self.log_size is None:
            return 0.0
        return model_size.size_values(theta[:, 1:3], self.log_size)

    def _data(self, repeated: tuple[Floats, Floats, Floats] | None) -> Data:
        if repeated is None:
            return self.plain
        return Data(log_x=np.log(repeated[0]), log_total=self.plain.log_total)

    def _repeated(self, theta: Floats) -> tuple[Floats, Floats, Floats] | None:
        """What repeated tokens are worth with its derivatives; None where nothing repeats."""
        if self.unique is None:
            return None
        found = repetition.effective(self.x, self.unique, theta[:, self.first - 1])
        return np.maximum(found[0], _SMALLEST), found[1], found[2]


def _fit_rows(
    model: _Model,
    losses: Floats,
    weight: Floats,
    start: Floats | None,
    rng: np.random.Generator | None,
) -> Floats:
    """(draws, validation, parameters), a block of rows at a time to bound memory."""
    draws, runs, validation = losses.shape
    y = losses.transpose(0, 2, 1).reshape(draws * validation, runs)
    by_row = np.repeat(weight, validation, 0)
    flat = None if start is None else start.reshape(draws * validation, -1)
    pull = drawn_priors(model, (draws, validation), rng, model.prior.common)
    block = max(1, int(2e5 / (runs * len(model.low))))

    def fit(first: int) -> Floats:
        part = slice(first, first + block)
        return fit_shrunken(
            model,
            y[part],
            by_row[part],
            start=None if flat is None else flat[part],
            rounds=3 if start is None else 2,
            pull=None if pull is None else pull[part],
        )

    return np.concatenate(in_threads(fit, range(0, len(y), block))).reshape(draws, validation, -1)


def law_of_terms(name: str, term: DataTerm, summary: str) -> Law:
    """The law that a data term makes."""

    def family(runs: Runs) -> SumOfTerms:
        return SumOfTerms.of(term, runs)

    def load(
        parameters: dict[str, Any], domains: tuple[str, ...], objective: ObjectiveFunction
    ) -> FittedLaw:
        return _load(term, parameters, domains, objective)

    def coefficients(runs: Runs) -> int:
        """Those that the runs tell something about; the others stay at their prior."""
        sizes = runs.parameters
        several = sizes is not None and len(np.unique(sizes)) > 1
        repeats = repetition.unique_in(runs.points, 1.0) is not None
        return 1 + 2 * several + repeats + term.prior(len(runs.domains)).penalty.shape[1]

    return smooth_law(
        name,
        family,
        residuals=family,
        load=load,
        coefficients=coefficients,
        spans_scales=True,
        sees_parameters=True,
        sees_repetition=True,
        summary=summary,
    )


def _load(
    term: DataTerm,
    parameters: dict[str, Any],
    domains: tuple[str, ...],
    objective: ObjectiveFunction,
) -> FittedLaw:
    rows = [parameters[name] for name in objective.validation]
    first = rows[0]
    before = [name for name in ("A", "a", "R") if name in first]
    theta = [[r["E"], *np.log([r[name] for name in before]), *term.read(r)] for r in rows]
    size = None
    if "A" in first:
        size = ModelSize(reference=first["reference_parameters"], share=model_size.UNKNOWN_SHARE)
    family = SumOfTerms(term=term, unit=first["unit_tokens"], size=size, repeats="R" in first)
    return SmoothLaw(
        domains=domains, objective=objective, family=family, theta=np.array(theta), runs=None
    )
