"""What the runs of the largest scale say counts beside a law of all scales, as far as it should."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.find_mixtures import find_mixtures, planned_run
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.mixture_order import in_order
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.mixing_law import choose
from mixscale.fit.scaling.largest_scale import Fit, MovedLaw, supported_part
from mixscale.fit.uncertainty.gain import Predictor

Function = Callable[[Floats], Floats]
DOMAINS = ("web", "code", "books")
SCALES = (1e6, 4e6)
TARGET = 16e6
MIXTURES = 30


def learning_late(tokens: Floats) -> Floats:
    """Losses that tell mixtures apart better the longer runs are; no law has this form.

    It is what the first steps of training are like.
    """
    millions = tokens / 1e6
    total = millions.sum(1, keepdims=True)
    apart = 0.18 * total / (total + 3)
    shares = millions / total
    return 2.0 + 3.0 * (1 + total) ** -0.3 - apart * np.log(shares + 0.03) * [1.5, 1.0, 0.7]


def power_law(tokens: Floats) -> Floats:
    """Losses as `joint` has them."""
    worth = np.array([[1.0, 0.2, 0.3], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]])
    return 2.0 + 2.0 * ((tokens / 1e6) ** 0.8 @ worth.T) ** -0.3


def swarm(truth: Function, noise: float, seed: int) -> Runs:
    """Runs of the same mixtures at both scales."""
    rng = np.random.default_rng(seed)
    shares = np.tile(rng.dirichlet(np.ones(len(DOMAINS)), MIXTURES), (len(SCALES), 1))
    scale = np.repeat(SCALES, MIXTURES)
    tokens = shares * scale[:, None]
    return in_order(
        Runs(
            domains=DOMAINS,
            validation=DOMAINS,
            tokens=tokens,
            losses=truth(tokens) + noise * rng.normal(size=tokens.shape),
            errors=None,
            scale=scale,
            changed=(MIXTURE,) * len(scale),
            labels=tuple(f"{k % MIXTURES}@{k // MIXTURES}" for k in range(len(scale))),
        )
    )


def predictor_of(runs: Runs, law: str, draws: int = 0) -> Predictor:
    """What predicts the target."""
    chosen = choose(runs, law, Objective())
    question = Question(
        objective=chosen.objective,
        constraints=Constraints(floor=0.0),
        budgets=(round(TARGET),),
        draws=draws,
    )
    path = find_mixtures(chosen.runs, chosen.law, chosen.noise, question).path
    predictor = path.predictor_for(planned_run(chosen.runs, TARGET, {}))
    assert predictor is not None
    return predictor


def missed(predict: Function, truth: Function) -> float:
    """Mean error of the differences between mixtures at the target."""
    shares = np.random.default_rng(99).dirichlet(np.ones(len(DOMAINS)), 200)
    wrong = predict(shares) - truth(shares * TARGET).mean(1)
    return float(np.abs(wrong - wrong.mean()).mean())


@pytest.mark.parametrize("law", ["joint", "separable"])
def test_differences_that_a_law_of_all_scales_has_wrong_are_mended(law: str) -> None:
    predictor = predictor_of(swarm(learning_late, 0.003, seed=1), law)
    moved = predictor.law
    assert isinstance(moved, MovedLaw)
    assert moved.beside.part > 0.5
    run = predictor.run

    def whole(shares: Floats) -> Floats:
        return moved.whole.predict_objective(run.with_shares(shares))

    assert missed(predictor.predict, learning_late) < 0.8 * missed(whole, learning_late)


def test_a_law_that_is_right_is_not_moved_by_noise() -> None:
    runs = swarm(power_law, 0.02, seed=2)
    predictor = predictor_of(runs, "joint")
    whole = predictor.law.whole if isinstance(predictor.law, MovedLaw) else predictor.law

    def alone(shares: Floats) -> Floats:
        return whole.predict_objective(predictor.run.with_shares(shares))

    assert missed(predictor.predict, power_law) < 1.3 * missed(alone, power_law) + 1e-4


def test_the_part_is_between_nothing_and_all_of_it() -> None:
    for seed in range(4):
        runs = swarm(power_law, 0.05, seed)
        chosen = choose(runs, "joint", Objective())
        few, noise = chosen.runs.at(SCALES[-1]), chosen.noise.at(SCALES[-1])
        alone = chosen.law.fit(few, chosen.objective, noise)
        whole = Fit(
            law=chosen.law,
            fitted=chosen.fitted,
            runs=chosen.runs,
            objective=chosen.objective,
            noise=chosen.noise,
        )
        there = Fit(law=chosen.law, fitted=alone, runs=few, objective=chosen.objective, noise=noise)
        assert 0 <= supported_part(whole, there, SCALES[-1]) <= 1


def test_intervals_are_around_what_is_predicted() -> None:
    predictor = predictor_of(swarm(learning_late, 0.003, seed=3), "joint", draws=100)
    one, other = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    drawn = predictor.saved_drawn(one, other)
    assert drawn is not None
    both = predictor.predict(np.stack([one, other]))
    spread = float(np.hypot(drawn[0].std(), drawn[1].mean()))
    assert abs(float(drawn[0].mean()) - float(both[0] - both[1])) < spread
