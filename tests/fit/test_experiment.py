"""Run records in, `fit.json` and a rewritten YAML out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import read_fit
from mixscale.fit.apply.run_yaml import apply
from mixscale.fit.arrays import Floats
from mixscale.fit.fit_experiment import fit_experiment
from mixscale.fit.output.terminal import lines

RUN_YAML = """\
# the big run
max_duration: 64ba
train_loader:
  dataset:
    streams:
      web: {local: web, proportion: 0.4}   # most of it
      code:
        local: "code"
        proportion: 0.3
      books:
        local: books
"""


def useful_web(tokens: Floats) -> Floats:
    """Losses that fall with a domain's own tokens, most for web; code helps nobody."""
    own = 3.0 + np.array([2.0, 0.0, 1.0]) * (tokens / 1e6 + 0.3) ** -0.3
    return own - 0.02 * np.log(tokens[0] / 1e6 + 1)


def test_from_runs_to_yaml(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    experiment = write_ddo_sweep(tmp_path, useful_web)
    folder = fit_experiment(experiment, law="ddo", bootstrap=200)
    record = read_fit(folder)
    assert folder == tmp_path / "fits" / record.fit_id
    assert record.fit_id.startswith("trial-")
    kinds = [(mixture.kind, mixture.token_budget) for mixture in record.mixtures]
    assert kinds == [
        ("measured", 1_000_000),
        ("measured", 4_000_000),
        ("projected", 16_000_000),
        ("projected", 256_000_000),
    ]
    for mixture in record.mixtures:
        assert sum(mixture.proportions.values()) == 1.0
        assert mixture.quantities is not None
        assert sum(mixture.quantities.values()) == mixture.token_budget
        assert mixture.proportions["code"] == pytest.approx(0.01)
        assert mixture.binding["code"] == "no measurable response"
        assert mixture.intervals is not None
        low, high = mixture.intervals["web"]
        assert low <= mixture.proportions["web"] <= high
    for mixture in record.mixtures[:3]:
        assert mixture.proportions["web"] > mixture.proportions["books"]
    decisions = [mixture.decision for mixture in record.mixtures]
    assert [said and said.action for said in decisions[:2]] == ["change", "change"]
    # Far beyond the runs the law may be wrong by as much as it promises, and its interval says so.
    for mixture, said in zip(record.mixtures[2:], decisions[2:], strict=True):
        assert said is not None
        assert said.interval is not None
        assert mixture.token_budget is not None
        shares = np.array([mixture.proportions[name] for name in ("web", "code", "books")])
        budget = float(mixture.token_budget)
        uniform, best = useful_web(np.full(3, budget / 3)), useful_web(budget * shares)
        gain = uniform.mean() - best.mean()
        assert said.interval[0] < gain < said.interval[1]
    assert record.noise == "seeds"

    run_yaml = tmp_path / "run.yaml"
    run_yaml.write_text(RUN_YAML, encoding="utf-8")
    result = apply(folder, 64_000_000, run_yaml, estimate="optimum")
    assert sum(result.proportions.values()) == 1.0
    assert result.backup is not None
    assert result.backup.read_text(encoding="utf-8") == RUN_YAML
    changed = [line for line in result.diff.splitlines() if line[:1] in "+-"][2:]
    assert len(changed) == 6  # provenance, two values replaced, one inserted
    assert run_yaml.read_text(encoding="utf-8").startswith("# mixscale proportions: fit trial-")


def test_the_same_runs_give_the_same_fit(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    experiment = write_ddo_sweep(tmp_path, useful_web)
    first = fit_experiment(experiment, law="ddo", bootstrap=50)
    before = (first / "fit.json").read_bytes()
    assert fit_experiment(experiment, law="ddo", bootstrap=50) == first
    assert (first / "fit.json").read_bytes() == before


def test_missing_runs_are_named(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    lost = "increased-books-1000000-s2"
    experiment = write_ddo_sweep(tmp_path, useful_web, skip=lambda run_id: run_id == lost)
    record = read_fit(fit_experiment(experiment, law="ddo", bootstrap=20))
    assert any("1 of 42 planned runs are missing" in w and lost in w for w in record.warnings)


def test_a_sweep_without_runs_says_what_to_do(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    experiment = write_ddo_sweep(tmp_path, useful_web, skip=lambda run_id: True)
    with pytest.raises(UserError, match=r"no finished run.*mixscale sweep"):
        fit_experiment(experiment)


def test_auto_compares_the_laws_and_takes_the_best(
    tmp_path: Path, write_ddo_sweep: Callable
) -> None:
    record = read_fit(fit_experiment(write_ddo_sweep(tmp_path, useful_web), bootstrap=20))
    assert record.laws[0].law == record.law
    scored = [score for score in record.laws if score.held_out is not None]
    assert len(scored) >= 5
    assert next(s for s in record.laws if s.law == "regmix").note == "needs 96 runs to be compared"


def test_pure_noise_keeps_what_you_have(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    experiment = write_ddo_sweep(tmp_path, lambda tokens: np.full(3, 3.0), noise=0.01)
    record = read_fit(fit_experiment(experiment, law="ddo", bootstrap=200))
    assert record.recommended.action == "keep what you have"


def test_one_seed_says_what_the_intervals_leave_out(
    tmp_path: Path, write_ddo_sweep: Callable
) -> None:
    experiment = write_ddo_sweep(tmp_path, useful_web, seeds=(1,), scales=(1_000_000,))
    record = read_fit(fit_experiment(experiment, law="ddo", bootstrap=50))
    # Seven runs of three domains settle a law's parameters and leave nothing over.
    assert record.noise == "evaluation"
    assert any("one seed" in warning for warning in record.warnings)


def test_one_seed_at_two_scales_takes_its_noise_from_a_law(
    tmp_path: Path, write_ddo_sweep: Callable
) -> None:
    experiment = write_ddo_sweep(tmp_path, useful_web, seeds=(1,), noise=0.02)
    record = read_fit(fit_experiment(experiment, law="ddo", bootstrap=50))
    assert record.noise == "residuals"
    # Three losses of noise 0.02 each; their mean errs by 0.0115, the evaluation says 0.0017.
    assert record.noise_objective == pytest.approx(0.0115, rel=0.5)
    assert any("what law joint leaves over" in warning for warning in record.warnings)


def test_the_summary_says_what_the_runs_can_tell(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    folder = fit_experiment(write_ddo_sweep(tmp_path, useful_web), law="ddo", bootstrap=50)
    record = read_fit(folder)
    said = list(lines(record))
    for scale in record.scales:
        assert scale.signal is not None
        assert scale.signal.ratio > 4
        assert scale.signal.runs_each == 3
    assert any(text.startswith("at 4M tokens changing a domain moves") for text in said)
    assert not any("mostly noise" in text for text in said)
    assert "Signal and noise" in (folder / "report.html").read_text(encoding="utf-8")


def test_too_much_noise_is_said_with_what_helps(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    experiment = write_ddo_sweep(tmp_path, useful_web, noise=0.3)
    record = read_fit(fit_experiment(experiment, law="ddo", bootstrap=200))
    assert record.recommended.action == "keep what you have"
    (warning,) = [text for text in record.warnings if "mostly noise" in text]
    assert "runs of each mixture instead of 3, a larger scale, or a recipe" in warning


def test_one_scale_keeps_the_shares(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    experiment = write_ddo_sweep(tmp_path, useful_web, scales=(1_000_000,))
    record = read_fit(fit_experiment(experiment, law="ddo", bootstrap=20))
    assert record.mixtures[0].proportions == record.mixtures[-1].proportions
    assert any("One scale was measured" in warning for warning in record.warnings)


def test_epochs_bind_where_data_runs_out(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    settings = {"constraints": "{max_epochs: 4, floor: 0.0}"}
    experiment = write_ddo_sweep(tmp_path, useful_web, available=30_000_000, settings=settings)
    record = read_fit(fit_experiment(experiment, law="ddo", bootstrap=20))
    last = record.mixtures[-1]
    assert last.token_budget == 256_000_000
    assert last.quantities is not None
    assert max(last.quantities.values()) <= 4 * 30_000_000 + 1000
    assert "max_epochs" in last.binding.values()


def test_a_target_beyond_the_data_is_left_out_and_said(
    tmp_path: Path, write_ddo_sweep: Callable
) -> None:
    settings = {"constraints": "{max_epochs: 1}"}
    experiment = write_ddo_sweep(tmp_path, useful_web, available=20_000_000, settings=settings)
    record = read_fit(fit_experiment(experiment, law="ddo", bootstrap=20))
    assert [m.token_budget for m in record.mixtures][-1] == 16_000_000
    assert any("No mixture for 256M tokens" in warning for warning in record.warnings)
    with pytest.raises(UserError, match="upper bounds sum to"):
        apply(tmp_path / "fits" / record.fit_id, 256_000_000, tmp_path / "run.yaml")


def test_fit_json_holds_no_path(tmp_path: Path, write_ddo_sweep: Callable) -> None:
    folder = fit_experiment(write_ddo_sweep(tmp_path, useful_web), law="ddo", bootstrap=20)
    text = (folder / "fit.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "NaN" not in text
    assert "Infinity" not in text
    json.loads(text)
