"""RegMix: gradient-boosted trees, then the best of many simulated mixtures (arXiv 2407.01492)."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws, FittedLaw, Law, Optimum
from mixscale.fit.laws.shared.shares import Inputs, inputs_for
from mixscale.fit.laws.shared.threads import in_threads
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.uncertainty.model_error import (
    ModelError,
    calibrate,
    folds_of,
    with_model_error,
)
from mixscale.fit.uncertainty.noise import Noise

# Settings of the paper's scripts, with a fixed number of trees: they stop early by the test set.
_TREES = 1000
_SETTINGS = {
    "objective": "l2",
    "learning_rate": 0.01,
    "num_leaves": 31,
    "verbose": -1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 0,
    "num_threads": 1,  # tables of runs are small: threads cost more than they give
}
_SIMULATED, _AVERAGED = 10_000, 100
_DRAWS, _DRAW_SIMULATED, _DRAW_AVERAGED = 40, 2_000, 20


@dataclass(frozen=True, kw_only=True)
class Booster:
    """Trees for one column of values, trained in units of their spread."""

    booster: Any
    middle: float
    spread: float

    def predict(self, x: Floats) -> Floats:
        """(points,) values."""
        return self.middle + self.spread * self.booster.predict(x)


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Boosted trees, one model for each validation loss that the objective weighs."""

    objective: ObjectiveFunction
    inputs: Inputs
    boosters: tuple[Booster, ...]
    """(validation,)."""
    runs: Runs
    """What they were trained on."""

    def predict_losses(self, points: Points) -> Floats:
        """(points, validation) losses."""
        x = self.inputs(points)
        return np.column_stack([booster.predict(x) for booster in self.boosters])

    def predict_objective(self, points: Points) -> Floats:
        """(points,) objective."""
        return self.objective.value(self.predict_losses(points))

    def optimum(self, feasible: Feasible, run: PlannedRun) -> Optimum:
        """Average the best simulated mixtures.

        Mixtures are drawn around the measured ones, since trees know nothing of the space beyond,
        and moved into the bounds.
        """
        shares = self.simulate(feasible, _SIMULATED)
        predicted = self.predict_objective(run.with_shares(shares))
        best = scale_into_bounds(_mean_of_best(shares, predicted, _AVERAGED), feasible)
        return Optimum(
            shares=best,
            objective=float(self.predict_objective(run.with_shares(best[None]))[0]),
            exact=False,
            how=f"mean of the best {_AVERAGED} of {_SIMULATED} simulated mixtures",
        )

    def simulate(self, feasible: Feasible, count: int) -> Floats:
        """(count, domains) allowed shares around the measured ones, always the same."""
        rng = np.random.default_rng(0)
        seen = self.runs.points.shares
        near = seen[rng.integers(len(seen), size=count)]
        mixed = rng.uniform(0, 1, (count, 1)) * near
        shares = mixed + (1 - mixed.sum(-1, keepdims=True)) * rng.permuted(near, axis=0)
        return scale_into_bounds(shares / shares.sum(-1, keepdims=True), feasible)

    def draws(self, rng: np.random.Generator, count: int) -> Draws:
        """Refit to runs drawn with replacement (the bootstrap over runs).

        One model of the objective stands for the models of all losses: enough to see how far the
        choice of runs moves the optimum, in a fraction of the time.
        """
        of_rows, of_errors = rng.spawn(2)
        count = min(count, _DRAWS)
        x, y = self.inputs(self.runs.points), self.objective.value(self.runs.losses)
        rows = of_rows.integers(len(y), size=(count, len(y)))
        draws = TreeDraws(
            trees=self, boosters=tuple(_train(x[chosen], y[chosen]) for chosen in rows)
        )
        error = self._model_error(draws, x, y)
        if error is None:
            return draws
        return with_model_error(draws, self.predict_objective, error, of_errors, count)

    def _model_error(self, draws: TreeDraws, x: Floats, y: Floats) -> ModelError | None:
        """What trees get wrong of left-out mixtures beside what the choice of runs leaves open."""
        counted = np.ones(len(y))
        weights = folds_of(self.runs, counted)
        if len(weights) < 3:
            return None
        missed = np.full(len(y), np.nan)
        for weight in weights:
            out = weight == 0
            missed[out] = y[out] - _train(x[~out], y[~out]).predict(x[out])
        drawn = np.stack([booster.predict(x) for booster in draws.boosters])
        predicted = self.predict_objective(self.runs.points)
        return calibrate(self.runs, weights, missed, predicted, drawn, 0.0, counted)

    def no_response(self) -> tuple[str, ...]:
        """None are detected."""
        return ()

    def too_noisy(self) -> tuple[str, ...]:
        """None are detected."""
        return ()

    def parameters(self) -> dict[str, Any]:
        """The settings; the trees themselves are not kept."""
        return {"trees": _TREES, **_SETTINGS}


@dataclass(frozen=True, kw_only=True)
class TreeDraws:
    """Trees refitted to resampled runs."""

    trees: Trees
    boosters: tuple[Booster, ...]
    """(draws,) models of the objective."""

    def optima(self, feasible: Feasible, run: PlannedRun) -> Floats:
        """(draws, domains) optimal shares."""
        shares = self.trees.simulate(feasible, _DRAW_SIMULATED)
        x = self.trees.inputs(run.with_shares(shares))
        best = [_mean_of_best(shares, b.predict(x), _DRAW_AVERAGED) for b in self.boosters]
        return scale_into_bounds(np.stack(best), feasible)

    def predict_objective(self, points: Points) -> Floats:
        """(draws,) objective of as many points as draws, or of one, each under its own draw.

        Centred on the trees of all runs: refitted to fewer different runs, trees are flatter, and
        of the draws only what they differ by counts.
        """
        x = self.trees.inputs(points)
        drawn = np.stack([booster.predict(x) for booster in self.boosters])
        drawn += self.trees.predict_objective(points) - drawn.mean(0)
        return drawn[:, 0] if len(points) == 1 else np.diagonal(drawn).copy()


def _mean_of_best(shares: Floats, predicted: Floats, count: int) -> Floats:
    return shares[np.argsort(predicted, kind="stable")[:count]].mean(0)


def _train(x: Floats, y: Floats) -> Booster:
    import lightgbm

    # Twenty runs to a leaf is the default; small tables would get no split at all.
    settings = _SETTINGS | {"min_data_in_leaf": max(2, min(20, len(y) // 10))}
    # LightGBM's own limits are absolute: in units of their spread, losses of any unit split alike.
    middle, spread = float(y.mean()), float(y.std()) or 1.0
    data = lightgbm.Dataset(x, (y - middle) / spread)
    booster = lightgbm.train(settings, data, num_boost_round=_TREES, keep_training_booster=True)
    return Booster(booster=booster, middle=middle, spread=spread)


def fit_regmix(runs: Runs, objective: ObjectiveFunction, noise: Noise) -> FittedLaw:
    """Fit trees to the runs of one scale.

    Raises:
        UserError: LightGBM is not installed.
    """
    if importlib.util.find_spec("lightgbm") is None:
        raise UserError("law regmix needs LightGBM: pip install lightgbm")
    inputs = inputs_for(runs)
    x = inputs(runs.points)
    # LightGBM gives the interpreter free while it trains, each model in a thread of its own.
    boosters = tuple(in_threads(lambda losses: _train(x, losses), runs.losses.T))
    return Trees(objective=objective, inputs=inputs, boosters=boosters, runs=runs)


LAW = Law(
    name="regmix",
    fit=fit_regmix,
    spans_scales=False,
    least_runs=96,
    intervals="Intervals come from refitting the trees to runs drawn with replacement.",
    summary="gradient-boosted trees with simulated mixtures (RegMix)",
)
