"""RegMix: gradient-boosted trees, then the best of many simulated mixtures (arXiv 2407.01492)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.errors import UserError
from fit.arrays import Floats
from fit.feasible import Feasible, scale_into_bounds
from fit.law import FittedLaw, Law, Optimum
from fit.laws.shares import Inputs, inputs_for
from fit.noise import Noise
from fit.objective import Target
from fit.runs import Runs

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
}
_SIMULATED, _AVERAGED = 10_000, 100


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Boosted trees, one model for each validation loss that the objective weighs."""

    target: Target
    inputs: Inputs
    boosters: tuple[Any, ...]
    """(validation,)."""
    seen: Floats
    """(runs, domains) shares that were trained on."""

    def losses(self, tokens: Floats) -> Floats:
        """(points, validation) losses."""
        x = self.inputs(tokens)
        return np.column_stack([booster.predict(x) for booster in self.boosters])

    def objective(self, tokens: Floats) -> Floats:
        """(points,) objective."""
        return self.target.value(self.losses(tokens))

    def optimum(self, feasible: Feasible, token_budget: float) -> Optimum:
        """Average the best simulated mixtures.

        Mixtures are drawn around the measured ones, since trees know nothing of the space beyond,
        and moved into the bounds.
        """
        rng = np.random.default_rng(0)
        near = self.seen[rng.integers(len(self.seen), size=_SIMULATED)]
        mixed = rng.uniform(0, 1, (_SIMULATED, 1)) * near
        shares = mixed + (1 - mixed.sum(-1, keepdims=True)) * rng.permuted(near, axis=0)
        shares = scale_into_bounds(shares / shares.sum(-1, keepdims=True), feasible)
        predicted = self.objective(shares * token_budget)
        best = shares[np.argsort(predicted, kind="stable")[:_AVERAGED]].mean(0)
        tokens = scale_into_bounds(best, feasible) * token_budget
        return Optimum(
            tokens=tokens,
            objective=float(self.objective(tokens[None])[0]),
            exact=False,
            how=f"mean of the best {_AVERAGED} of {_SIMULATED} simulated mixtures",
        )

    def draws(self, rng: np.random.Generator, count: int) -> None:
        """None: refitting the trees often enough takes too long."""
        return

    def silent(self) -> tuple[str, ...]:
        """None are detected."""
        return ()

    def unclear(self) -> tuple[str, ...]:
        """None are detected."""
        return ()

    def parameters(self) -> dict[str, Any]:
        """The settings; the trees themselves are not kept."""
        return {"trees": _TREES, **_SETTINGS}


def fit_regmix(runs: Runs, target: Target, noise: Noise) -> FittedLaw:
    """Fit trees to the runs of one scale.

    Raises:
        UserError: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise UserError("law regmix needs LightGBM: pip install 'mixscale[laws]'") from error
    inputs = inputs_for(runs)
    x = inputs(runs.tokens)
    # Twenty runs to a leaf is the default; small tables would get no split at all.
    settings = _SETTINGS | {"min_data_in_leaf": max(2, min(20, len(runs) // 10))}
    boosters = tuple(
        lightgbm.train(settings, lightgbm.Dataset(x, losses), num_boost_round=_TREES)
        for losses in runs.losses.T
    )
    return Trees(target=target, inputs=inputs, boosters=boosters, seen=runs.proportions)


LAW = Law(
    name="regmix",
    fit=fit_regmix,
    spans_scales=False,
    summary="gradient-boosted trees with simulated mixtures (RegMix)",
)
