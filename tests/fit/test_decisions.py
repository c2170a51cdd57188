"""A decision for each token budget, and from which runs it is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixscale.contracts.experiment import Constraints
from mixscale.contracts.fit_record import FitRecord, Mixture, read_fit
from mixscale.fit.apply.run_yaml import apply
from mixscale.fit.arrays import Floats
from mixscale.fit.fit_tables import fit_tables
from mixscale.fit.inputs.options import TableSettings
from mixscale.fit.output.page import render_page
from mixscale.fit.output.terminal import lines
from mixscale.fit.scaling.stored_fit import mixture_at
from tests.fit.simulated import DOMAINS, losses_of, mixtures, write_tables

BEYOND = 100_000_000_000


def fitted(
    folder: Path,
    shares: Floats,
    tokens: Floats,
    losses: Floats,
    *,
    domains: tuple[str, ...] = DOMAINS,
    bootstrap: int = 1000,
    seed: int | None = None,
    law: str = "joint",
    **settings: object,
) -> FitRecord:
    left, right = write_tables(folder, shares, tokens, losses, domains)
    asked = TableSettings.model_validate(settings)
    found = fit_tables(
        left, right, law=law, bootstrap=bootstrap, seed=seed, settings=asked, out=folder / "out"
    )
    return read_fit(found)


def two_scales(runs: int = 24) -> tuple[Floats, Floats, Floats]:
    shares = np.vstack([mixtures(runs), mixtures(runs, seed=5)])
    tokens = np.repeat([1e9, 4e9], runs)
    return shares, tokens, losses_of(shares, tokens)


def recommended(mixture: Mixture) -> Floats:
    assert mixture.recommended is not None
    return np.array(list(mixture.recommended.values()))


def test_few_runs_at_a_larger_scale_decide_nothing(tmp_path: Path) -> None:
    many, few = mixtures(60), mixtures(5, seed=7)
    tokens = np.repeat([1e10, 2e10], [60, 5])
    losses = losses_of(np.vstack([many, few]), tokens)
    losses[60:] += np.random.default_rng(2).normal(size=(5, 1)) * 0.05
    record = fitted(tmp_path, np.vstack([many, few]), tokens, losses, targets=[BEYOND])
    alone = fitted(tmp_path / "alone", many, tokens[:60], losses[:60], targets=[BEYOND])
    assert [scale.scale_tokens for scale in record.scales] == [10_000_000_000]
    assert any("5 runs at 20B tokens, 7 coefficients" in text for text in record.warnings)
    np.testing.assert_allclose(
        recommended(record.mixtures[-1]), recommended(alone.mixtures[-1]), atol=0.02
    )
    assert record.recommended.action == alone.recommended.action == "change"


def test_where_all_runs_are_too_few_the_mixture_is_kept(tmp_path: Path) -> None:
    shares, tokens = mixtures(5), np.full(5, 1e9)
    record = fitted(tmp_path, shares, tokens, losses_of(shares, tokens), bootstrap=0)
    assert record.recommended.action == "keep what you have"
    assert "fewer than the law's coefficients" in record.recommended.reason


def test_one_scale_holds_the_shares_of_every_law(tmp_path: Path) -> None:
    shares, tokens = mixtures(40), np.full(40, 1e9)
    losses = losses_of(shares, tokens)
    for law in ("joint", "bimix", "loglinear"):
        record = fitted(
            tmp_path / law, shares, tokens, losses, law=law, bootstrap=0, targets=[BEYOND]
        )
        measured, target = record.mixtures
        assert target.proportions == pytest.approx(measured.proportions, abs=2e-6)
        assert target.predicted_objective is None
        assert record.reach.how == "same shares"
        said = target.decision
        assert said is not None
        assert (said.token_budget, said.decided_at) == (BEYOND, 1_000_000_000)
        assert "No law reaches 100B tokens" in said.reason


def test_each_budget_has_its_own_decision(tmp_path: Path) -> None:
    record = fitted(tmp_path, *two_scales(), targets=[16_000_000_000, BEYOND])
    for mixture in record.mixtures:
        said = mixture.decision
        assert said is not None
        assert said.token_budget == said.decided_at == mixture.token_budget
        assert mixture.recommended_gain is not None
        assert mixture.recommended_interval is not None
        low, high = mixture.recommended_interval
        if said.action == "change":
            assert mixture.recommended_gain == pytest.approx(said.gain, abs=1e-5)
            assert 0 < low <= mixture.recommended_gain <= high
        else:
            assert mixture.recommended_gain == low == high == 0
    assert record.recommended == record.mixtures[-1].decision
    text = "\n".join(lines(record))
    assert "recommended for 16B tokens: " in text
    assert "recommended for 100B tokens: " in text
    page = render_page(record)
    assert page.count('class="verdict') == 2


def test_a_predicted_loss_at_the_target_is_not_advised(tmp_path: Path) -> None:
    shares, tokens, losses = two_scales(40)
    # Code helps at the small scale, and at the larger one it is web that does.
    code, web = DOMAINS.index("code"), DOMAINS.index("web")
    small = tokens == 1e9
    losses += np.where(small, -0.6 * shares[:, code], -0.6 * shares[:, web])[:, None]
    record = fitted(tmp_path, shares, tokens, losses, targets=[BEYOND])
    for mixture in record.mixtures:
        assert mixture.decision is not None
        if mixture.decision.action == "change":
            assert mixture.recommended_gain is not None
            assert mixture.recommended_gain > 0
            assert mixture.decision.interval is None or mixture.decision.interval[0] > 0


def test_the_advice_does_not_depend_on_what_stands_beside_the_question(tmp_path: Path) -> None:
    tables = two_scales()
    plain = fitted(tmp_path / "plain", *tables, targets=[BEYOND])
    variants = {
        "targets": fitted(tmp_path / "a", *tables, targets=[16_000_000_000, BEYOND, 10**15]),
        "seed": fitted(tmp_path / "b", *tables, seed=99, targets=[BEYOND]),
        "resamples": fitted(tmp_path / "c", *tables, bootstrap=40, targets=[BEYOND]),
    }
    by_budget = {m.token_budget: m for m in plain.mixtures}
    for name, record in variants.items():
        for mixture in record.mixtures:
            if mixture.token_budget in by_budget:
                same = by_budget[mixture.token_budget]
                assert mixture.decision == same.decision, name
                assert mixture.recommended == same.recommended, name


def test_a_stored_fit_decides_as_the_nearest_budget(tmp_path: Path) -> None:
    record = fitted(tmp_path, *two_scales(), targets=[16_000_000_000, BEYOND])
    for stored in record.mixtures:
        assert stored.token_budget is not None
        assert stored.decision is not None
        beside = mixture_at(record, stored.token_budget + 1000)
        assert beside.decision is not None
        assert beside.decision.action == stored.decision.action
        np.testing.assert_allclose(recommended(beside), recommended(stored), atol=1e-3)
    between = mixture_at(record, 40_000_000_000)
    assert between.decision is not None
    assert between.decision.token_budget == 40_000_000_000
    assert between.recommended_gain is not None


def test_apply_says_the_decision_of_its_budget(tmp_path: Path) -> None:
    record = fitted(tmp_path, *two_scales(), targets=[BEYOND])
    run = tmp_path / "run.yaml"
    streams = "".join(f"      {d}: {{local: {d}, split: train}}\n" for d in DOMAINS)
    run.write_text(f"train_loader:\n  dataset:\n    streams:\n{streams}")
    said = record.mixtures[1].decision
    assert said is not None
    result = apply(tmp_path / "out" / record.fit_id, 4_000_000_000, run, dry_run=True)
    assert result.advice == f"{said.action}. {said.reason}"


def test_a_forbidden_mixture_in_use_is_replaced_by_the_nearest_allowed(tmp_path: Path) -> None:
    shares, tokens = mixtures(40), np.full(40, 1e9)
    current = {"wikipedia": 0.7, "web": 0.1, "code": 0.1, "books": 0.1}
    record = fitted(
        tmp_path,
        shares,
        tokens,
        losses_of(shares, tokens, noise=0.3),
        current=current,
        constraints=Constraints(ceiling=0.4),
        risk=0.001,
    )
    (mixture,) = record.mixtures
    assert mixture.gains[0].over == "nearest allowed"
    assert mixture.gains[0].proportions["wikipedia"] == pytest.approx(0.4)
    assert all(max(gain.proportions.values()) <= 0.4 + 1e-6 for gain in mixture.gains)
    assert record.recommended.action == "take the nearest allowed mixture"
    assert record.recommended.reason.startswith("The constraints forbid the current mixture.")
    assert recommended(mixture)[0] == pytest.approx(0.4)
    assert any("gains are over the allowed mixture nearest" in text for text in record.warnings)


def test_the_risk_that_is_taken_decides(tmp_path: Path) -> None:
    shares, tokens = mixtures(40), np.full(40, 1e9)
    losses = losses_of(shares, tokens, noise=0.3)
    found = {
        risk: fitted(tmp_path / f"{risk}", shares, tokens, losses, risk=risk).recommended
        for risk in (0.001, 0.5)
    }
    harm = found[0.5].harm
    assert harm is not None
    assert 0.001 < harm < 0.5
    assert [said.action for said in found.values()] == ["keep what you have", "change"]
    assert [said.risk for said in found.values()] == [0.001, 0.5]
    assert all(said.harm == harm for said in found.values())
    assert "above the 0.001 that is taken" in found[0.001].reason


@pytest.mark.parametrize(("share", "law"), [(0.1, "joint"), (0.0, "joint"), (0.1, "loglinear")])
def test_a_domain_that_no_run_varies_keeps_its_share(
    tmp_path: Path, share: float, law: str
) -> None:
    varied, tokens = mixtures(40), np.full(40, 1e9)
    shares = np.hstack([varied * (1 - share), np.full((40, 1), share)])
    record = fitted(
        tmp_path,
        shares,
        tokens,
        losses_of(varied, tokens),
        domains=(*DOMAINS, "news"),
        law=law,
        targets=[BEYOND],
    )
    assert record.not_varied == {"news": pytest.approx(share)}
    assert any("No run varies news" in warning for warning in record.warnings)
    for mixture in record.mixtures:
        assert mixture.proportions["news"] == pytest.approx(share, abs=1e-6)
        assert mixture.binding["news"] == "not varied"
        assert recommended(mixture)[-1] == pytest.approx(share, abs=2e-6)
    assert mixture_at(record, 7 * 10**9).proportions["news"] == pytest.approx(share, abs=1e-6)


def test_a_weight_that_counts_alone_is_no_mean(tmp_path: Path) -> None:
    shares, tokens = mixtures(20), np.full(20, 1e9)
    losses = losses_of(shares, tokens)
    said: Callable[[dict[str, float]], str] = lambda weights: render_page(  # noqa: E731
        fitted(
            tmp_path / "-".join(weights),
            shares,
            tokens,
            losses,
            bootstrap=0,
            objective={"weights": weights},
        )
    )
    assert ": code alone of the loss" in said({"code": 2.0})
    assert ": weighted mean over 2 validation domains" in said({"code": 2.0, "web": 1.0})


def test_many_domains_without_a_floor(tmp_path: Path) -> None:
    shares = np.random.default_rng(4).dirichlet(np.full(14, 0.3), 60)
    tokens = np.full(60, 1e9)
    worth = np.linspace(0.0, 0.3, 14)
    losses = (3 - np.sqrt(shares) @ worth)[:, None]
    record = fitted(
        tmp_path,
        shares,
        tokens,
        losses,
        domains=tuple(f"d{i}" for i in range(14)),
        constraints=Constraints(floor=0.0),
        targets=[BEYOND],
    )
    for mixture in record.mixtures:
        assert min(recommended(mixture)) >= 0
        assert sum(mixture.proportions.values()) == 1


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(floor=0.25),
        Constraints(fixed=dict(zip(DOMAINS, (0.4, 0.3, 0.2, 0.1), strict=True))),
    ],
)
def test_constraints_that_leave_one_mixture(tmp_path: Path, constraints: Constraints) -> None:
    shares, tokens = mixtures(30), np.full(30, 1e9)
    record = fitted(tmp_path, shares, tokens, losses_of(shares, tokens), constraints=constraints)
    assert record.recommended.action != "change"
    assert "The constraints allow a single mixture" in record.recommended.reason


def test_a_change_is_not_called_noise(tmp_path: Path) -> None:
    shares, tokens = mixtures(60), np.full(60, 1e9)
    record = fitted(tmp_path, shares, tokens, losses_of(shares, tokens, noise=0.05))
    noisy = any("best mixture found is mostly noise" in text for text in record.warnings)
    assert not (noisy and record.recommended.action == "change")
