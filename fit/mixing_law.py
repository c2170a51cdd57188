"""A fitted law, asked from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.contracts.fit_record import LawScore, Mixture
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import Question, name_binding
from mixscale.fit.inputs.columns import Table
from mixscale.fit.inputs.mixture_table import mixtures_of
from mixscale.fit.inputs.objective import ObjectiveFunction, objective_function
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.tables import join, read_table
from mixscale.fit.laws.base import FittedLaw, Law
from mixscale.fit.laws.registry import law_named, reference_law
from mixscale.fit.laws.selection import choose_law
from mixscale.fit.output.record import mixture_record
from mixscale.fit.uncertainty.noise import Noise
from mixscale.fit.uncertainty.residuals import comparison_noise


@dataclass(frozen=True, kw_only=True)
class MixingLaw:
    """A fitted law: predict losses of mixtures, find the best one."""

    runs: Runs
    law: Law
    objective: ObjectiveFunction
    noise: Noise
    scores: tuple[LawScore, ...]
    """Held-out errors of the laws that `auto` compared, the best first."""

    @property
    def name(self) -> str:
        """The law's name."""
        return self.law.name

    @property
    def domains(self) -> tuple[str, ...]:
        """Training domains."""
        return self.runs.domains

    @cached_property
    def fitted(self) -> FittedLaw:
        """The law, of the largest scale where it does not span them."""
        scale = float(self.runs.scales[-1])
        if self.law.spans_scales:
            return self.law.fit(self.runs, self.objective, self.noise)
        return self.law.fit(self.runs.at(scale), self.objective, self.noise.at(scale))

    def predict(
        self, mixtures: Mapping[str, float] | Table, tokens: int | None = None
    ) -> dict[str, Floats]:
        """Predict the losses of mixtures, in nats per token by validation domain.

        Args:
            mixtures: Shares by domain, of one mixture or a list for each domain.
            tokens: Token budget; that of the largest runs when absent.
        """
        columns = [np.atleast_1d(np.asarray(mixtures[d], np.float64)) for d in self.domains]
        budget = self.runs.scales[-1] if tokens is None else tokens
        run = self.runs.planned(float(budget))
        losses = self.fitted.predict_losses(run.with_shares(np.column_stack(columns)))
        return dict(zip(self.runs.validation, losses.T, strict=True))

    def optimum(
        self, constraints: Constraints | None = None, tokens: int | None = None, draws: int = 0
    ) -> Mixture:
        """Find the best allowed mixture.

        Args:
            constraints: The default keeps 1 % of every domain.
            tokens: Token budget; that of the largest runs when absent.
            draws: Resamples for intervals; none by default.

        Raises:
            UserError: No mixture satisfies the constraints.
        """
        constraints = constraints or Constraints()
        if tokens is None and not draws:
            return self._largest(constraints)
        question = Question(
            objective=self.objective,
            constraints=constraints,
            budgets=() if tokens is None else (tokens,),
            draws=draws,
        )
        solution = find_mixtures(self.runs, self.law, self.noise, question)
        for reason in solution.unanswered.values():
            raise UserError(reason)
        return mixture_record(solution.answers[-1], self.domains)

    def _largest(self, constraints: Constraints) -> Mixture:
        scale = float(self.runs.scales[-1])
        feasible = feasible_set(
            constraints, self.domains, token_budget=scale if scale > 1 else None
        )
        optimum = self.fitted.optimum(feasible, self.runs.planned(scale))
        shares = optimum.shares
        return Mixture(
            kind="measured",
            token_budget=round(scale) if scale > 1 else None,
            proportions=dict(zip(self.domains, shares.tolist(), strict=True)),
            quantities=None,
            intervals=None,
            predicted_objective=optimum.objective,
            binding=name_binding(
                feasible, shares, self.fitted.no_response(), self.fitted.too_noisy()
            ),
        )


def fit_law(
    mixtures: Any, losses: Any, law: str = "auto", objective: Objective | None = None
) -> MixingLaw:
    """Fit a mixing law: `fit_law(mixtures, losses, law="ddo").optimum(constraints)`.

    Args:
        mixtures: Shares (or tokens) by domain: a path to CSV or Parquet, a mapping from names to
            columns, a list of mappings, an Arrow table or a data frame.
            `mixscale.fit.fit_tables.fit_tables` says which columns are known.
        losses: Losses by validation domain, likewise.
        law: Its name, or `auto` for the one that predicts left-out runs best.
        objective: What to minimise; the mean loss when absent.

    Raises:
        UserError: The tables do not match, or the law cannot be fitted to them.
    """
    runs, _ = join(
        mixtures_of(_table(mixtures), "mixtures"),
        _table(losses),
        "losses",
    )
    return choose(runs, law, objective or Objective())


def choose(
    runs: Runs, law: str, objective: Objective, bits_per_nat: Floats | None = None
) -> MixingLaw:
    """Bind runs to an objective and to a law, compared with the others if it is `auto`."""
    bound = objective_function(objective, runs.validation, bits_per_nat)
    bound.check(runs.losses)
    noise = comparison_noise(runs, bound, reference_law())
    scores: tuple[LawScore, ...] = ()
    if law == "auto":
        law, scores = choose_law(runs, bound, noise)
    return MixingLaw(runs=runs, law=law_named(law), objective=bound, noise=noise, scores=scores)


def _table(source: Any) -> Table:
    if isinstance(source, str | os.PathLike):
        return read_table(Path(source))
    if hasattr(source, "to_pydict"):
        return source.to_pydict()
    if isinstance(source, Mapping):
        return {str(name): np.asarray(column).tolist() for name, column in source.items()}
    if hasattr(source, "to_dict"):
        return source.to_dict("list")
    names = list(dict.fromkeys(name for row in source for name in row))
    return {name: [row.get(name) for row in source] for name in names}
