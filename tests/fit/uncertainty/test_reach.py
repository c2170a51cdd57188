"""What a law gets wrong of the way to larger budgets, larger models and more epochs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixscale.contracts.experiment import Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.uncertainty.gain import Predictor, gain_over
from mixscale.fit.uncertainty.intervals import interval
from mixscale.fit.uncertainty.model_error import DrawsWithError
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE
from mixscale.fit.uncertainty.reach import Evidence, most_epochs, with_less_repeated

DOMAINS = ("web", "wiki", "code")
UNIQUE = np.array([1e11, 1e9, 1e11])
SCARCE, EVEN = np.array([0.3, 0.4, 0.3]), np.array([0.45, 0.1, 0.45])


def losses_of(tokens: Floats, parameters: Floats) -> Floats:
    """(runs,) a power law by hand, blind to repeats."""
    mass = ((tokens / 1e9) ** 0.7) @ np.array([1.0, 0.8, 0.6])
    return 1.6 + 0.4 * (parameters / 1e8) ** -0.33 + 0.9 * mass**-0.4


def swarm(
    shares: Floats, budgets: list[float], sizes: list[float], columns: int = 1, seed: int = 0
) -> Runs:
    """A run of each mixture at each budget and size, that reads no domain twice."""
    rng = np.random.default_rng(seed)
    plan = [(row, budget, size) for size in sizes for budget in budgets for row in shares]
    tokens = np.stack([row * budget for row, budget, _ in plan])
    parameters = np.array([size for _, _, size in plan])
    truth = losses_of(tokens, parameters)
    losses = truth[:, None] + rng.normal(size=(len(plan), columns)) * 0.003
    return Runs(
        domains=DOMAINS,
        validation=tuple(f"loss {k}" for k in range(columns)),
        tokens=tokens,
        losses=losses,
        errors=None,
        scale=np.array([budget for _, budget, _ in plan]),
        changed=(MIXTURE,) * len(plan),
        labels=tuple(map(str, range(len(plan)))),
        unique_tokens=np.tile(UNIQUE, (len(plan), 1)),
        parameters=parameters,
    )


def mixtures(count: int = 24, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.ones(3) * 2, count)


def predictor(runs: Runs, run: PlannedRun, law: str = "joint") -> Predictor:
    aim = objective_function(Objective(), runs.validation)
    fitted = law_named(law).fit(runs, aim, UNKNOWN_NOISE)
    draws = fitted.draws(np.random.default_rng(3), 200)
    assert isinstance(draws, DrawsWithError)
    return Predictor(name=law, law=fitted, draws=draws, run=run)


def gain_width(says: Predictor, shares: Floats, other: Floats) -> float:
    bounds = gain_over(says, shares, "other", other).interval
    assert bounds is not None
    return float(bounds[1] - bounds[0])


@pytest.mark.parametrize("law", ["joint", "separable"])
def test_more_epochs_than_any_proxy_had_widen_a_gain(law: str) -> None:
    """Nothing tells what 16 epochs cost where no run read a domain more than once."""
    plentiful = np.full(3, 1e13)
    runs = swarm(mixtures(), [1e10, 4e10], [1e8])
    runs = replace(runs, unique_tokens=np.tile(plentiful, (len(runs), 1)))
    plenty = runs.planned(4e10, plentiful)
    new = predictor(runs, plenty, law)
    repeated = replace(new, run=replace(plenty, unique_tokens=UNIQUE))
    assert gain_width(repeated, SCARCE, EVEN) > 2 * gain_width(new, SCARCE, EVEN)
    # Mixtures that read no domain twice are told apart as well as before.
    few = np.array([0.5, 0.01, 0.49]), np.array([0.4, 0.02, 0.58])
    assert gain_width(repeated, *few) == pytest.approx(gain_width(new, *few), rel=0.05)


def test_epochs_that_runs_had_are_known_of_their_own_model_alone() -> None:
    runs = swarm(mixtures(), [2e9, 8e9], [1e8])
    epochs = most_epochs(runs)
    assert epochs is not None
    assert epochs[1] == pytest.approx(runs.tokens[:, 1].max() / UNIQUE[1])
    assert epochs[[0, 2]].tolist() == [1, 1]
    error = predictor(runs, runs.planned(8e9, UNIQUE)).draws
    assert isinstance(error, DrawsWithError)
    measured = runs.where([-3, -2, -1]).points
    assert error._unmeasured_repeats(measured).tolist() == [0, 0, 0]
    larger = error._unmeasured_repeats(replace(measured, parameters=np.full(3, 1e9)))
    assert (larger > 0).tolist() == (measured.tokens[:, 1] > 1.001 * UNIQUE[1]).tolist()


def test_text_is_added_where_it_is_read_too_often() -> None:
    points = Points(tokens=np.array([[10.0, 10, 10]]), unique_tokens=np.array([[100.0, 1, np.inf]]))
    less = with_less_repeated(points, np.array([[1.0, 4, 1]]))
    assert less is not None
    assert less.unique_tokens is not None
    assert less.unique_tokens.tolist() == [[100, 2.5, np.inf]]
    assert with_less_repeated(points, np.array([[1.0, 10, 1]])) is None
    assert with_less_repeated(replace(points, unique_tokens=None), np.ones((1, 3))) is None


def test_what_holds_of_training_is_wrong_of_all_losses_alike() -> None:
    """One size tells nothing of a larger model: four losses no more than one of them."""
    run = swarm(mixtures(), [2e9], [1e8]).planned(2e9, None, 1e10)

    def width(columns: int) -> float:
        runs = replace(swarm(mixtures(), [2e9], [1e8], columns), unique_tokens=None)
        draws = predictor(runs, run).draws
        assert isinstance(draws, DrawsWithError)
        bounds = interval(draws.draws.predict_objective(run.with_shares(EVEN[None])))
        return float(bounds[1] - bounds[0])

    assert width(4) > 0.8 * width(1)


def test_a_size_is_compared_with_runs_of_about_as_many_tokens() -> None:
    """Else the way to a larger model would be that to more tokens, too."""
    runs = swarm(mixtures(), [2e9, 4e9], [1e8, 4e8])
    longer = swarm(mixtures(), [1.6e10], [4e8])
    both = replace(
        runs,
        **{
            name: np.concatenate([getattr(runs, name), getattr(longer, name)])
            for name in ("tokens", "losses", "scale", "unique_tokens", "parameters")
        },
        changed=runs.changed + longer.changed,
        labels=tuple(map(str, range(len(runs) + len(longer)))),
    )
    assert both.parameters is not None
    predicted = losses_of(both.tokens, both.parameters)
    nothing = np.zeros(len(both))
    reach = Evidence(runs=both, missed=nothing, predicted=predicted, own=nothing).of_sizes()
    assert reach.stride == pytest.approx(0.4 * (1 - 4**-0.33), rel=1e-6)


def test_runs_of_one_mixture_have_an_error_too() -> None:
    """Whole runs are left out where there are no other mixtures."""
    budgets = np.geomspace(1e9, 3e10, 12).tolist()
    runs = swarm(EVEN[None], budgets, [1e8])
    bent = replace(runs, losses=runs.losses + 0.05 * np.sin(np.arange(12))[:, None])
    sizes = []
    for one in (runs, bent):
        draws = predictor(one, one.planned(3e10, UNIQUE)).draws
        assert isinstance(draws, DrawsWithError)
        drawn = draws.predict_objective(one.planned(1e10, UNIQUE).with_shares(EVEN[None]))
        sizes.append(float(np.ptp(interval(drawn))))
    assert sizes[1] > 3 * sizes[0]
