"""Fits from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.experiment import Constraints, Objective
from mixscale.contracts.fit_record import Cost, FitRecord, LawScore, Mixture
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import feasible_set
from mixscale.fit.inputs.named_mixtures import shares_of
from mixscale.fit.inputs.objective import Target, target
from mixscale.fit.inputs.options import TableSettings
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.tables import Table, join, mixtures_of, read_table
from mixscale.fit.laws import law_named
from mixscale.fit.laws.base import FittedLaw, Law
from mixscale.fit.laws.selection import choose_law
from mixscale.fit.output.record import describe
from mixscale.fit.output.versions import versions
from mixscale.fit.solution import Question, Solution, name_binding
from mixscale.fit.solve import solve
from mixscale.fit.uncertainty.noise import Noise
from mixscale.fit.uncertainty.residuals import comparison_noise


@dataclass(frozen=True, kw_only=True)
class MixingLaw:
    """A fitted law: predict losses of mixtures, find the best one."""

    runs: Runs
    law: Law
    target: Target
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
            return self.law.fit(self.runs, self.target, self.noise)
        return self.law.fit(self.runs.at(scale), self.target, self.noise.at(scale))

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
        losses = self.fitted.losses(np.column_stack(columns) * budget)
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
            target=self.target,
            constraints=constraints,
            budgets=() if tokens is None else (tokens,),
            draws=draws,
        )
        solution = solve(self.runs, self.law, self.noise, question)
        if tokens is not None and len(solution.answers) == len(solution.scales):
            # The budget allows no mixture; asking alone for it says why.
            feasible_set(constraints, self.domains, token_budget=tokens)
        return _record(self, solution, question, "fit").mixtures[-1]

    def _largest(self, constraints: Constraints) -> Mixture:
        scale = float(self.runs.scales[-1])
        feasible = feasible_set(
            constraints, self.domains, token_budget=scale if scale > 1 else None
        )
        optimum = self.fitted.optimum(feasible, scale)
        shares = optimum.tokens / scale
        return Mixture(
            kind="measured",
            token_budget=round(scale) if scale > 1 else None,
            proportions=dict(zip(self.domains, shares.tolist(), strict=True)),
            quantities=None,
            intervals=None,
            predicted_objective=optimum.objective,
            binding=name_binding(feasible, shares, self.fitted.silent(), self.fitted.unclear()),
        )


@dataclass(frozen=True, kw_only=True)
class TableFit:
    """A fit to tables with its record."""

    law: MixingLaw
    record: FitRecord

    def losses(self, tokens: Floats) -> Floats:
        """(rows, validation) predicted losses in nats of (rows, domains) tokens."""
        return self.law.fitted.losses(tokens)

    def objective(self, tokens: Floats) -> Floats:
        """(rows,) predicted objective of (rows, domains) tokens."""
        return self.law.fitted.objective(tokens)


def fit_law(
    mixtures: Any, losses: Any, law: str = "auto", objective: Objective | None = None
) -> MixingLaw:
    """Fit a mixing law: `fit_law(mixtures, losses, law="ddo").optimum(constraints)`.

    Args:
        mixtures: Shares (or tokens) by domain: a path to CSV or Parquet, a mapping from names to
            columns, a list of mappings, an Arrow table or a data frame.
            `mixscale.fit.inputs.tables.fit_tables` says which columns are known.
        losses: Losses by validation domain, likewise.
        law: A name in `mixscale.fit.laws.LAWS`, or `auto` for the one that predicts left-out runs
            best.
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
    aim = target(objective, runs.validation, bits_per_nat)
    aim.check(runs.losses)
    noise = comparison_noise(runs, aim)
    scores: tuple[LawScore, ...] = ()
    if law == "auto":
        law, scores = choose_law(runs, aim, noise)
    return MixingLaw(runs=runs, law=law_named(law), target=aim, noise=noise, scores=scores)


def fit_runs(
    runs: Runs,
    *,
    law: str,
    settings: TableSettings,
    bootstrap: int,
    seed: int | None,
    name: str,
    warnings: Sequence[str],
    content: str,
) -> TableFit:
    """Fit and describe runs that came from tables."""
    chosen = choose(runs, law, settings.objective)
    available = settings.available_tokens
    question = Question(
        target=chosen.target,
        constraints=settings.constraints,
        budgets=tuple(sorted(set(settings.targets))),
        available=available,
        current=shares_of(settings.current, runs.domains, available),
        draws=bootstrap,
        seed=int(content[:8], 16) if seed is None else seed,
    )
    solution = solve(runs, chosen.law, chosen.noise, question)
    fit_id = f"{name}-{chosen.name}-{content[:8]}"
    record = _record(chosen, solution, question, fit_id, settings.objective, warnings)
    return TableFit(law=chosen, record=record)


def _record(
    chosen: MixingLaw,
    solution: Solution,
    question: Question,
    fit_id: str,
    objective: Objective | None = None,
    warnings: Sequence[str] = (),
) -> FitRecord:
    known = chosen.runs.scale.max() > 1
    tokens = int(chosen.runs.tokens.sum()) if known else None
    return describe(
        solution,
        fit_id=fit_id,
        experiment=None,
        law=chosen.name,
        objective=objective or Objective(metric=chosen.target.metric),
        question=question,
        noise=chosen.noise,
        laws=chosen.scores,
        warnings=warnings,
        cost=Cost(runs=len(chosen.runs), tokens=tokens, seconds=None),
        run_ids=(),
        versions=versions(),
    )


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
