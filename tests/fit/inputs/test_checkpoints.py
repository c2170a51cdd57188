"""Checkpoints: copies, the start of training, and rows that only look like a design."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.fit.fit_tables import read_runs
from mixscale.fit.inputs.checkpoints import early_tokens
from mixscale.fit.inputs.mixture_table import mixtures_of
from mixscale.fit.inputs.options import TableSettings
from mixscale.fit.inputs.runs import MIXTURE

TOKENS = np.array([1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]) * 1e9


def curves(start: float, runs: int = 6, noise: float = 0.001) -> np.ndarray:
    """(runs, checkpoints) losses of a power law, with a start that decays by 3B tokens."""
    rng = np.random.default_rng(0)
    levels = rng.uniform(1.8, 2.2, (runs, 1))
    clean = levels + 0.8 * (TOKENS / 1e9) ** -0.3 + start * np.exp(-TOKENS / 1.5e9)
    return clean + noise * rng.normal(size=clean.shape)


def table(losses: np.ndarray, tokens: np.ndarray = TOKENS) -> dict[str, list[Any]]:
    runs, checkpoints = losses.shape
    share = np.linspace(0.2, 0.8, runs).repeat(checkpoints)
    return {
        "run": np.repeat([f"r{i}" for i in range(runs)], checkpoints).tolist(),
        "tokens": np.tile(tokens, runs).tolist(),
        "w_web": share.tolist(),
        "w_code": (1 - share).tolist(),
        "loss_web": losses.ravel().tolist(),
    }


def read(columns: dict[str, list[Any]], **settings: Any) -> tuple[Any, Any]:
    return read_runs(columns, columns, TableSettings.model_validate(settings), ("t", "t"))


def test_a_start_above_the_power_law_is_left_out_and_said() -> None:
    runs, reading = read(table(curves(start=2.0)))
    early = [why for why in reading.left_out.values() if "early checkpoint" in why]
    assert runs.tokens.sum(1).min() > 4e9
    assert len(early) + len(runs) == 6 * len(TOKENS)
    assert "--keep-early keeps them" in reading.remarks[0]
    kept, reading = read(table(curves(start=2.0)), keep_early=True)
    assert len(kept) == 6 * len(TOKENS)
    assert "they are kept, as was asked" in reading.remarks[0]


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.004])
def test_a_power_law_has_no_start(noise: float) -> None:
    runs, reading = read(table(curves(start=0.0, noise=noise)))
    assert len(runs) == 6 * len(TOKENS)
    assert reading.left_out == {}
    assert reading.remarks == ()


def test_starts_are_told_by_size() -> None:
    both = np.vstack([curves(start=2.0), curves(start=0.0)])
    runs = [f"{i}" for i in range(12) for _ in TOKENS]
    sizes = np.repeat([1e8, 1e9], 6 * len(TOKENS))
    tokens = np.tile(TOKENS, 12)
    found = early_tokens(runs, tokens, tokens, sizes, both.reshape(-1, 1))
    assert list(found) == [1e8]
    assert found[1e8] in (4e9, 6e9)


def test_a_checkpoint_that_is_saved_twice_counts_once() -> None:
    losses = curves(start=0.0)
    twice = np.hstack([losses, losses[:, -1:]])
    tokens = np.append(TOKENS[:-1], [TOKENS[-1] - 2e6, TOKENS[-1]])
    runs, reading = read(table(twice, tokens))
    assert len(runs) == losses.size
    copies = [name for name, why in reading.left_out.items() if "repeats its losses" in why]
    assert copies == [f"r{i} at 19998000000 tokens" for i in range(6)]
    assert reading.remarks == (
        "6 checkpoints have exactly the losses of the next one of the same run, as a last "
        "checkpoint that is saved twice: each is counted once.",
    )


def test_checkpoints_that_lie_close_together_are_no_base_run() -> None:
    tokens = np.linspace(18e9, 20e9, 11)
    runs, _ = read(table(curves(start=0.0), tokens))
    assert set(runs.changed) == {MIXTURE}


def test_a_table_of_mixtures_serves_all_checkpoints_of_its_runs() -> None:
    whole = table(curves(start=0.0))
    mixtures = {"run": ["r3", "r1", "r2"], "w_web": [0.3, 0.4, 0.5], "w_code": [0.7, 0.6, 0.5]}
    losses = {name: whole[name] for name in ("run", "tokens", "loss_web")}
    asked = TableSettings()
    runs, reading = read_runs(mixtures, losses, asked, ("m", "l"))
    assert len(runs) == 3 * len(TOKENS)
    assert reading.unmatched_rows == 3 * len(TOKENS)
    first = [name.startswith("r3|") for name in runs.training_runs]
    np.testing.assert_allclose(runs.shares[first], [[0.3, 0.7]] * len(TOKENS))
    np.testing.assert_allclose(runs.tokens[first].sum(1), TOKENS)
    # The same with tokens by domain, of which a checkpoint has its part.
    amounts = {"run": mixtures["run"], "tokens_web": [6e9] * 3, "tokens_code": [14e9] * 3}
    runs, _ = read_runs(amounts, losses, asked, ("m", "l"))
    np.testing.assert_allclose(runs.tokens.sum(1).max(), 20e9)
    np.testing.assert_allclose(runs.shares, [[0.3, 0.7]] * len(runs))


def test_points_know_the_run_that_they_are_checkpoints_of() -> None:
    runs, _ = read(table(curves(start=0.0)))
    points = runs.points
    assert points.runs is not None
    assert points.runs.tolist() == np.repeat(np.arange(6), len(TOKENS)).tolist()
    assert points.where([0, 11, 12]).runs.tolist() == [0, 1, 1]  # type: ignore[union-attr]


def test_steps_that_are_no_numbers_cost_their_row() -> None:
    columns = table(curves(start=0.0))
    steps: list[Any] = [round(t / 1e6) for t in columns.pop("tokens")]
    steps[len(TOKENS) - 1] = "last"
    runs, reading = read(columns | {"step": steps}, tokens_per_step=10**6)
    assert len(runs) == len(steps) - 1
    assert list(reading.left_out.values()) == ["step is 'last'"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params": ["70M"] * 3 + [""]}, r"row 4: params is ''; every run needs the number of its"),
        ({"params": ["70M"] * 3 + ["tiny"]}, r"row 4: params is 'tiny'"),
        ({"unique_web": ["1B"] * 3 + [-1]}, r"row 4: unique_web is -1; the unique tokens of a"),
        ({"unique_web": ["1B"] * 3 + ["0"]}, r"row 4: the run trains on web, of which there are 0"),
        ({"unique_web": ["1B"] * 3 + ["lots"]}, r"row 4: unique_web is 'lots'"),
        ({"model_size": ["70M"] * 4, "params": [7e7] * 3 + [1.6e8]},
         r"row 4: columns model_size and params contradict each other \(70M and 160000000.0\)"),
        ({"n_tokens": ["1B"] * 3 + ["2B"]}, r"row 4: columns tokens and n_tokens contradict"),
        ({"tokens": [1.2] * 4}, r"row 1: tokens is 1.2, too few .*tokens_billion"),
        ({"w_web": [0.5] * 3 + [-0.5]}, r"row 4: .*negative: w_web is -0.5"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_message(changes: dict[str, Any], message: str) -> None:
    columns = {"w_web": [0.5, 0.4, 0.3, 0.2], "w_code": [0.5, 0.6, 0.7, 0.8], "tokens": ["1B"] * 4}
    with pytest.raises(UserError, match=message):
        mixtures_of(columns | changes, "t.csv")


def test_two_tables_that_contradict_each_other_are_refused() -> None:
    mixtures = {"run": ["a", "b", "c"], "w_x": [0.5] * 3, "w_y": [0.5] * 3, "params": ["70M"] * 3}
    losses = {"run": ["a", "b", "c"], "loss_x": [3.0] * 3, "model_size": ["70M", "70M", "160M"]}
    with pytest.raises(UserError, match="c: the tables contradict each other: params is 70M"):
        read_runs(mixtures, losses, TableSettings(), ("m", "l"))
