"""Targets with the size of a model, and text that runs out, under a law that sees both."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import mixscale as ms
from mixscale.cli.main import cli
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import read_experiment
from mixscale.contracts.fit_record import FitRecord, read_fit
from mixscale.contracts.run_record import read_record, write_record
from mixscale.contracts.target import Target
from mixscale.fit.arrays import Floats
from mixscale.fit.fit_experiment import fit_experiment
from mixscale.fit.scaling.stored_fit import mixture_at

# The losses `E + A p^-0.3 + sum_j b_j (x_j + 0.1)^-0.4`, where x are effective tokens.
LAW = '''
"""Losses `E + A p^-0.3 + sum_j b_j (x_j + 0.1)^-0.4` in effective tokens x."""

import numpy as np

from mixscale.fit.laws.shared.smooth import smooth_law

R = 15.0


def effective(points):
    n = points.tokens / 1e9
    if points.unique_tokens is None:
        return n, np.ones_like(n)
    u = points.unique_tokens / 1e9
    repeats = np.maximum(n / u - 1, 0) / R
    return np.minimum(n, u) + u * R * (1 - np.exp(-repeats)), np.exp(-repeats)


class Sized:
    convex = True

    def _columns(self, points):
        size = np.ones(len(points)) if points.parameters is None else points.parameters / 1e8
        return np.column_stack([np.ones(len(points)), size**-0.3, self._power(points, -0.4)])

    def _power(self, points, exponent):
        return (effective(points)[0] + 0.1) ** exponent

    def fit(self, points, losses, weight, start=None, rng=None):
        root = np.sqrt(weight)[:, :, None]
        columns = np.linalg.pinv(root * self._columns(points), rcond=1e-9)
        return (columns @ (root * losses)).transpose(0, 2, 1)

    def predict(self, theta, points):
        return theta @ self._columns(points).T

    def slopes(self, theta, point):
        by_effective = -0.4 * self._power(point, -1.4)[0]
        return theta[:, 2:] * by_effective * effective(point)[1][0] / 1e9

    def describe(self, theta):
        return {"theta": theta.tolist()}


def load(parameters, domains, objective):
    from mixscale.fit.laws.shared.smooth import SmoothLaw

    theta = np.array([parameters[name]["theta"] for name in objective.validation])
    return SmoothLaw(domains=domains, objective=objective, family=Sized(), theta=theta, runs=None)


LAW = smooth_law(
    "sized",
    lambda runs: Sized(),
    spans_scales=True,
    sees_parameters=True,
    coefficients=lambda runs: len(runs.domains) + 2,
    summary="sizes and repeats",
    load=load,
)
'''
DOMAINS = ("web", "wiki")
WORTH = np.array([[0.5, 0.3], [0.2, 0.6]])


def losses_of(tokens: Floats, parameters: Floats) -> Floats:
    """(runs, validation) of (runs, domains) tokens that none of the runs repeats."""
    power = (tokens / 1e9 + 0.1) ** -0.4
    return 1.5 + 0.4 * (parameters[:, None] / 1e8) ** -0.3 + power @ WORTH.T


@pytest.fixture
def sized_law(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    site = tmp_path / "site"
    info = site / "sized_law-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "sized_law.py").write_text(LAW)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sized-law\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mixscale.laws]\nsized = sized_law:LAW\n")
    monkeypatch.syspath_prepend(str(site))
    invalidate_caches()
    return "sized"


def write(path: Path, head: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *rows])
    return path


@pytest.fixture
def sizes(tmp_path: Path) -> list[Path]:
    """A table of runs for each of two model sizes, the same mixtures in both."""
    rng = np.random.default_rng(3)
    shares = rng.uniform(0.1, 0.9, 12)
    mixtures = np.column_stack([shares, 1 - shares])
    paths = []
    for label, size in (("100M", 1e8), ("400M", 4e8)):
        rows: list[list[Any]] = []
        losses = losses_of(mixtures * 1e9, np.full(12, size))
        losses += 1e-4 * rng.normal(size=losses.shape)
        for i in range(12):
            rows.append([f"r{i}", label, "1B", *mixtures[i].tolist(), *losses[i].tolist()])
        head = ["run", "model_size", "tokens", "w_web", "w_wiki", "loss_web", "loss_wiki"]
        paths.append(write(tmp_path / f"{label}.csv", head, rows))
    return paths


def command(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def fitted(sizes: list[Path], *more: object) -> tuple[Path, FitRecord]:
    tables = [part for path in sizes for part in ("--table", path)]
    asked = ["--law", "sized", "--bootstrap", "20", *more]
    result = command("fit", *tables, *asked, "--out", sizes[0].parent / "out", "--json")
    assert result.exception is None, result.exception
    folder = Path(json.loads(result.stdout)["folder"])
    return folder, read_fit(folder)


def test_a_target_has_the_size_that_it_is_asked_for(sized_law: str, sizes: list[Path]) -> None:
    folder, record = fitted(sizes, "--targets", "100B@7B,100B,1T@70B")
    assert record.model_sizes == (100_000_000, 400_000_000)
    assert record.parameters_are == "total"
    projected = [m for m in record.mixtures if m.kind == "projected"]
    assert [(m.token_budget, m.parameters, m.size_given) for m in projected] == [
        (10**11, 4 * 10**8, False),
        (10**11, 7 * 10**9, True),
        (10**12, 7 * 10**10, True),
    ]
    for mixture in projected:
        shares = np.array(list(mixture.proportions.values()))
        assert mixture.token_budget is not None
        tokens = shares[None] * float(mixture.token_budget)
        truth = losses_of(tokens, np.array([float(mixture.parameters or 0)]))
        assert mixture.predicted_objective == pytest.approx(truth.mean(), abs=0.01)
    said = " ".join(record.warnings)
    assert "No model size is given for 100B tokens" in said
    assert "400M parameters, the size of the largest runs" in said
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "How the best mixture moves" in page
    assert "7B parameters" in page


def test_a_stored_fit_answers_for_other_sizes(sized_law: str, sizes: list[Path]) -> None:
    supplies = ["--available", "wiki=4B"]
    folder, record = fitted(sizes, "--targets", "100B@7B", *supplies)
    _, fresh = fitted(sizes, "--targets", "30B@3B", *supplies)
    stored = mixture_at(record, 30_000_000_000, 3_000_000_000)
    (asked,) = [m for m in fresh.mixtures if m.kind == "projected"]
    assert stored.proportions == pytest.approx(asked.proportions, abs=2e-5)
    assert stored.predicted_objective == pytest.approx(asked.predicted_objective, abs=1e-6)
    assert stored.moved is not None
    assert asked.moved is not None
    assert stored.moved.repeats == pytest.approx(asked.moved.repeats, abs=1e-4)
    again = mixture_at(record, 100_000_000_000, 7_000_000_000)
    assert again == next(m for m in record.mixtures if m.kind == "projected")
    unsized = mixture_at(record, 100_000_000_000)
    assert unsized.parameters == 400_000_000
    assert not unsized.size_given
    fit = ms.load_fit(folder)
    assert fit.optimum("100B", "7B").proportions == again.proportions
    assert fit.optimum(tokens="100B", parameters=7e9).parameters == 7 * 10**9
    with pytest.raises(UserError, match="smaller than the models of all runs"):
        fit.optimum("100B", "7M")


def test_text_that_runs_out_weighs_less(sized_law: str, sizes: list[Path]) -> None:
    plenty = fitted(sizes, "--targets", "20B,1T")[1]
    scarce = fitted(sizes, "--targets", "20B,1T", "--available", "wiki=4B")[1]
    at = {
        name: [m for m in record.mixtures if m.kind == "projected"]
        for name, record in (("plenty", plenty), ("scarce", scarce))
    }
    first, last = (mixture.proportions["wiki"] for mixture in at["plenty"])
    few, least = (mixture.proportions["wiki"] for mixture in at["scarce"])
    assert first == pytest.approx(last, abs=1e-3)
    assert first > few > least
    # As good as what a search over all mixtures finds with repeats worth what the law says.
    for tokens, found in ((2e10, few), (1e12, least)):
        wiki = np.linspace(0.01, 0.99, 981)
        read = tokens * wiki / 4e9
        worth = np.minimum(read, 1) + 15 * (1 - np.exp(-np.maximum(read - 1, 0) / 15))
        fresh = np.column_stack([tokens * (1 - wiki), 4e9 * worth])
        objective = losses_of(fresh, np.full(len(wiki), 4e8)).mean(1)
        assert found == pytest.approx(wiki[np.argmin(objective)], abs=0.03)
    assert all(m.moved is not None and m.moved.repeats > 0.01 for m in at["scarce"])
    # Nothing is moved by the size under this law, nor by repeats where there are none.
    assert all(m.moved is not None and m.moved.size == 0 for m in at["scarce"])
    assert all(m.moved is not None and m.moved.repeats == 0 for m in at["plenty"])


def test_repeats_of_the_runs_themselves_are_counted_once(sized_law: str, sizes: list[Path]) -> None:
    """Beside the measured budget the best mixture is the measured one."""
    supplies = ["--available", "wiki=200M"]
    _, record = fitted(sizes, "--targets", "1001M,100B", *supplies)
    measured, beside, far = (m.proportions["wiki"] for m in record.mixtures)
    assert beside == pytest.approx(measured, abs=2e-3)
    assert far < beside - 0.1
    _, alone = fitted(sizes[:1], "--targets", "1001M", *supplies)
    first, last = (m.proportions["wiki"] for m in alone.mixtures)
    assert last == pytest.approx(first, abs=2e-3)


def test_what_is_known_of_one_size_moves_as_text_runs_out(
    sized_law: str, sizes: list[Path]
) -> None:
    """One scale of one size: no law predicts the objective, yet repeats are worth less."""
    _, record = fitted(sizes[:1], "--targets", "1T@7B", "--available", "wiki=4B")
    (target,) = [m for m in record.mixtures if m.kind == "projected"]
    assert target.predicted_objective is None
    assert target.moved is not None
    assert target.moved.repeats > 0.01
    stored = mixture_at(record, 999_000_000_000, 7 * 10**9)
    assert stored.proportions == pytest.approx(target.proportions, abs=1e-3)
    assert any("one size was measured" in warning for warning in record.warnings)


def test_apply_takes_a_size(sized_law: str, sizes: list[Path], tmp_path: Path) -> None:
    folder, _ = fitted(sizes, "--targets", "100B@7B")
    run = tmp_path / "run.yaml"
    run.write_text(
        "train_loader:\n  dataset:\n    streams:\n"
        "      web: {local: web, proportion: 0.5}\n      wiki: {local: wiki, proportion: 0.5}\n"
    )
    sized = command("apply", folder, run, "--tokens", "300B", "--parameters", "7B", "--dry-run")
    said = " ".join(sized.stdout.split())
    assert "kept for 300B tokens and a model of 7B parameters." in said
    plain = command("apply", folder, run, "--tokens", "300B", "--dry-run")
    said = " ".join(plain.stdout.split())
    assert "a model of 400M parameters, the size of the largest proxy runs." in said
    small = command("apply", folder, run, "--tokens", "300B", "--parameters", "7M")
    assert isinstance(small.exception, UserError)


def test_planned_runs_are_predicted_in_their_order(
    sized_law: str, sizes: list[Path], tmp_path: Path
) -> None:
    planned = write(
        tmp_path / "planned.csv",
        ["run", "parameters", "tokens", "unique_wiki", "w_web", "w_wiki"],
        [
            ["b", "7B", "100B", "", 0.5, 0.5],
            ["a", "100M", "1B", "1B", 0.3, 0.7],
            ["c", "400M", "20B", "1B", 0.2, 0.8],
        ],
    )
    folder, _ = fitted(sizes, "--predict", planned)
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["run"] for row in rows] == ["b", "a", "c"]
    assert [int(row["tokens"]) for row in rows] == [10**11, 10**9, 2 * 10**10]
    assert [int(row["parameters"]) for row in rows] == [7 * 10**9, 10**8, 4 * 10**8]
    for row, (size, tokens) in zip(
        rows, [(7e9, [5e10, 5e10]), (1e8, [3e8, 7e8]), (None, None)], strict=True
    ):
        low, middle, high = (float(row[f"objective{end}"]) for end in ("_low", "", "_high"))
        assert low <= middle <= high
        if size is not None:
            truth = losses_of(np.array([tokens]), np.array([size]))[0]
            predicted = [float(row["loss_web"]), float(row["loss_wiki"])]
            np.testing.assert_allclose(predicted, truth, atol=0.01)
            for name, value in zip(DOMAINS, predicted, strict=True):
                span = float(row[f"loss_{name}_low"]), float(row[f"loss_{name}_high"])
                assert span[0] <= value <= span[1]
    # Sixteen times 1B of wiki are worth less than 16B.
    fresh = losses_of(np.array([[4e9, 1.6e10]]), np.array([4e8]))[0]
    assert float(rows[2]["loss_wiki"]) > fresh[1] + 0.01


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--targets", "300B@7M"], "smaller than the models of all runs, which have 100M"),
        (["--targets", "300B@big"], "'big' is not a number of parameters"),
        (["--targets", "300B@"], "'' is not a number of parameters"),
        (["--targets", "@7B"], "'' is not a number of tokens"),
        (["--size", "width"], "--size width: no such column"),
    ],
)
def test_sizes_that_cannot_be(
    sized_law: str, sizes: list[Path], more: list[str], message: str
) -> None:
    result = command("fit", "--table", sizes[0], "--table", sizes[1], *more)
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=message):
        raise result.exception


def test_an_experiment_names_the_size_of_its_targets(
    tmp_path: Path, write_ddo_sweep: Callable[..., Path]
) -> None:
    settings = {"targets": "[{tokens: 300M, parameters: 20k}, 16M, 256M@10k]"}
    path = write_ddo_sweep(
        tmp_path, lambda n: 2 + (n / 1e6 + 0.1) ** -0.3, settings=settings, seeds=(1, 2)
    )
    assert read_experiment(path).targets == (
        Target(tokens=300_000_000, parameters=20_000),
        Target(tokens=16_000_000),
        Target(tokens=256_000_000, parameters=10_000),
    )
    for record in (tmp_path / "runs").glob("*/result.json"):
        run = read_record(record)
        write_record(record.parent, run.model_copy(update={"non_embedding_parameters": 600}))
    fit = read_fit(fit_experiment(path, law="linear", bootstrap=0))
    # Records tell 1000 parameters in all, 600 of them no embeddings: those are what laws see.
    assert fit.model_sizes == (600,)
    assert fit.parameters_are == "non-embedding"
    assert [m.parameters for m in fit.mixtures] == [600, 600, 600, 10_000, 20_000]
    path.write_text(path.read_text().replace("parameters: 20k", "parameter: 20k"))
    with pytest.raises(UserError, match=r"targets\.0\.parameter: unknown key"):
        read_experiment(path)
