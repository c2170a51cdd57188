"""Which law `auto` takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import LawScore
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.laws.selection import choose_law, held_out_objective, why_saturated
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE
from tests.fit.simulated import losses_of, mixtures


def runs_of(shares: Floats, tokens: Floats, losses: Floats) -> Runs:
    domains = tuple(f"d{i}" for i in range(shares.shape[1]))
    return Runs(
        domains=domains,
        validation=domains[: losses.shape[1]],
        tokens=shares * tokens[:, None],
        losses=losses,
        errors=None,
        scale=tokens,
        changed=(MIXTURE,) * len(shares),
        labels=tuple(str(i) for i in range(len(shares))),
    )


def swarm(count: int, domains: int, noise: float = 0.002, seed: int = 1) -> Runs:
    shares, tokens = mixtures(count, domains), np.full(count, 1e9)
    return runs_of(shares, tokens, losses_of(shares, tokens, noise, seed))


def scores(runs: Runs) -> tuple[str, dict[str, LawScore]]:
    aim = objective_function(Objective(), runs.validation)
    found = choose_law(runs, aim, UNKNOWN_NOISE)
    return found.law, {score.law: score for score in found.scores}


def test_a_law_with_as_many_coefficients_as_runs_does_not_stand() -> None:
    # A quadratic in seven shares has 36 coefficients.
    runs = swarm(20, 7)
    taken, found = scores(runs)
    assert taken != "quadratic"
    assert found["quadratic"].held_out is None
    assert "36 coefficients for 20 runs" in (found["quadratic"].note or "")
    assert found["joint"].held_out is not None
    assert why_saturated(law_named("quadratic"), swarm(60, 7)) is None


def test_repeats_of_a_mixture_settle_no_coefficient() -> None:
    once = swarm(20, 7)
    repeated = once.where(list(range(20)) * 3)
    assert "of 20 mixtures" in (why_saturated(law_named("quadratic"), repeated) or "")


def test_a_plain_law_has_to_leave_runs_over() -> None:
    assert why_saturated(law_named("linear"), swarm(7, 4)) is None
    assert why_saturated(law_named("linear"), swarm(6, 4)) is not None


def test_where_no_law_stands_the_one_with_priors_is_taken() -> None:
    runs = swarm(8, 30)
    taken, found = scores(replace(runs, validation=("task",), losses=runs.losses[:, :1]))
    assert taken == "joint"
    assert found["joint"].held_out is None
    assert "coefficients" in (found["joint"].note or "")


def test_laws_that_the_runs_do_not_tell_apart_give_way_to_one_that_reaches_further() -> None:
    rng = np.random.default_rng(0)
    shares, tokens = mixtures(40, 3), np.full(40, 1e9)
    # Linear in the shares, with so much noise that the form hardly shows.
    losses = 3 - shares @ np.array([[0.1], [0.2], [0.3]]) + 0.05 * rng.normal(size=(40, 1))
    taken, found = scores(runs_of(shares, tokens, losses))
    assert law_named(taken).spans_scales
    best = min((s for s in found.values() if s.held_out is not None), key=lambda s: s.held_out or 0)
    assert best.held_out_error is not None
    assert (found[taken].held_out or 0) <= (best.held_out or 0) + best.held_out_error


def test_other_seeds_of_the_same_truth_get_the_same_law() -> None:
    laws = {scores(swarm(40, 4, seed=seed))[0] for seed in range(4)}
    assert len(laws) == 1


def test_neither_order_nor_checkpoints_help_to_know_a_left_out_mixture() -> None:
    aim_of = lambda runs: objective_function(Objective(), runs.validation)  # noqa: E731
    runs = swarm(30, 4)
    law = law_named("joint")
    order = np.random.default_rng(0).permutation(30)
    plain = held_out_objective(law, runs, aim_of(runs), UNKNOWN_NOISE)
    mixed = held_out_objective(law, runs.where(order.tolist()), aim_of(runs), UNKNOWN_NOISE)
    np.testing.assert_allclose(mixed, plain[order], rtol=1e-4)
    # The same run a little later must not tell what the run that is left out came to.
    later = replace(runs, tokens=runs.tokens * 2, scale=runs.scale * 2)
    off = runs.losses.copy()
    off[0] += 1.0
    later_off = later.losses.copy()
    later_off[0] += 1.0
    both = Runs(
        domains=runs.domains,
        validation=runs.validation,
        tokens=np.vstack([runs.tokens, later.tokens]),
        losses=np.vstack([off, later_off]),
        errors=None,
        scale=np.concatenate([runs.scale, later.scale]),
        changed=runs.changed * 2,
        labels=tuple(f"{i}@{k}" for k in (1, 2) for i in range(30)),
    )
    predicted = held_out_objective(law, both, aim_of(both), UNKNOWN_NOISE)
    assert abs(predicted[0] - plain[0]) < 0.3


def test_scores_have_standard_errors(tmp_path: Path) -> None:
    _, found = scores(swarm(40, 4))
    for score in found.values():
        assert (score.held_out is None) == (score.held_out_error is None)
    assert found["joint"].coefficients == 7
