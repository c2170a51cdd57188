"""What is taken for what in tables that people bring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import TableReading, read_fit
from mixscale.fit.fit_tables import fit_tables
from mixscale.fit.inputs.columns import Choice, result_of, role_of
from mixscale.fit.inputs.mixture_table import mixtures_of
from mixscale.fit.inputs.options import Options, table_settings
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.sizes import size_remarks, visible_runs
from mixscale.fit.inputs.tables import join, read_table
from mixscale.fit.laws.registry import law_named

NAMES = ("web", "code", "books")
RUNS = 8


@pytest.fixture
def shares() -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(3), RUNS)


def mixture_columns(shares: np.ndarray, prefix: str = "w_", factor: float = 1.0) -> dict[str, Any]:
    columns = (factor * shares).T.tolist()
    return dict(zip((prefix + name for name in NAMES), columns, strict=True))


def loss_values(shares: np.ndarray) -> np.ndarray:
    return 2.0 + shares @ np.array([[0.4, 0.6, 0.5], [0.7, 0.1, 0.6], [0.5, 0.7, 0.2]])


def loss_columns(shares: np.ndarray, form: str = "loss_{}") -> dict[str, Any]:
    columns = loss_values(shares).T.tolist()
    return dict(zip((form.format(name) for name in NAMES), columns, strict=True))


def read(
    mixtures: dict[str, Any], losses: dict[str, Any], choice: Choice | None = None
) -> tuple[Runs, TableReading]:
    return join(mixtures_of(mixtures, "m.csv", None, choice), losses, "l.csv", choice)


@pytest.mark.parametrize(
    ("column", "name", "metric"),
    [
        ("loss_web", "web", "loss"),
        ("web_loss", "web", "loss"),
        ("ppl_c4", "c4", "perplexity"),
        ("wiki_perplexity", "wiki", "perplexity"),
        ("bpb_code", "code", "bits_per_byte"),
        ("metrics/eval/arxiv/LanguageCrossEntropy", "arxiv", "loss"),
        ("eval/arxiv/LanguagePerplexity", "arxiv", "perplexity"),
        ("acc:hellaswag", "hellaswag", "accuracy"),
        ("humaneval_pass@1", "humaneval", "accuracy"),
    ],
)
def test_names_that_say_what_a_result_is(column: str, name: str, metric: str) -> None:
    found = result_of(column)
    assert found is not None
    assert (found.name, found.metric) == (name, metric)


@pytest.mark.parametrize("column", ["web", "arxiv", "gloss", "arc_challenge:rc::olmes", "lossy"])
def test_names_that_say_nothing(column: str) -> None:
    assert result_of(column) is None
    assert role_of(column) is None


def test_losses_and_perplexities_of_one_table_are_each_read_as_what_they_are(
    shares: np.ndarray,
) -> None:
    losses = loss_columns(shares)
    perplexities = {f"ppl_{name}": np.exp(losses[f"loss_{name}"]).tolist() for name in NAMES}
    other = {"ppl_wiki": [8.0] * RUNS}
    runs, reading = read(mixture_columns(shares), losses | perplexities | other)
    assert runs.validation == (*NAMES, "wiki")
    np.testing.assert_allclose(runs.losses[:, :3], loss_values(shares))
    np.testing.assert_allclose(runs.losses[:, 3], np.log(8.0))
    assert reading.results["web"].column == "loss_web"
    assert reading.ignored["ppl_web"] == "web is read from loss_web"


@pytest.mark.parametrize("prefix", ["", "w_", "weight_", "proportion_"])
def test_numbers_that_describe_runs_are_no_domains(shares: np.ndarray, prefix: str) -> None:
    mixtures = mixture_columns(shares, prefix) | {
        "model_size": [7e7] * RUNS, "lr": [3e-4] * RUNS, "seed": [1, 2] * (RUNS // 2),
    }  # fmt: skip
    runs, reading = read(mixtures, loss_columns(shares, "{}"))
    assert runs.domains == NAMES
    np.testing.assert_allclose(runs.tokens, shares)
    assert runs.parameters is not None
    assert set(runs.parameters) == {7e7}
    assert runs.seeds == (1, 2) * (RUNS // 2)
    assert reading.roles == {"parameters": "model_size", "seed": "seed"}
    assert reading.ignored["lr"] == "describes the run"


def test_an_unknown_number_beside_unmarked_shares_is_refused(shares: np.ndarray) -> None:
    mixtures = mixture_columns(shares, "") | {"quality": [5.0] * RUNS}
    with pytest.raises(UserError, match=r"not to 1, so some of these are no domains.*--domains"):
        mixtures_of(mixtures, "m.csv")
    found = mixtures_of(mixtures, "m.csv", None, Choice(domains=("web", "code", "b*")))
    assert found.domains == NAMES
    with pytest.raises(UserError, match=r"--domains wbe: no such column"):
        mixtures_of(mixtures, "m.csv", None, Choice(domains=("wbe",)))


def test_tokens_need_a_mark(shares: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"--domains"):
        mixtures_of(mixture_columns(shares, "", 1e9), "m.csv")
    marked = mixtures_of(mixture_columns(shares, "tokens_", 1e9), "m.csv")
    assert marked.unit == "tokens"
    np.testing.assert_allclose(marked.scale, 1e9)


def test_percent_is_read_and_said(shares: np.ndarray) -> None:
    runs, reading = read(mixture_columns(shares, "", 100.0), loss_columns(shares, "{}"))
    np.testing.assert_allclose(runs.tokens, shares)
    assert reading.unit == "percent"


def test_large_unmarked_values_are_no_losses(shares: np.ndarray) -> None:
    perplexities = {name: np.exp(2 * loss_values(shares)[:, 0]).tolist() for name in NAMES}
    with pytest.raises(UserError, match=r"column web holds .*ppl_DOMAIN.*--results"):
        read(mixture_columns(shares), perplexities)


def test_accuracies_are_not_minimised(shares: np.ndarray) -> None:
    accuracy = {"hellaswag_acc": (0.3 + 0.1 * shares[:, 0]).tolist()}
    runs, reading = read(mixture_columns(shares), accuracy)
    assert reading.results["hellaswag"].higher_is_better
    # What laws lower falls where the accuracy rises.
    assert np.argsort(runs.losses[:, 0]).tolist() == np.argsort(-shares[:, 0]).tolist()
    _, reading = read(mixture_columns(shares), loss_columns(shares) | accuracy)
    assert reading.ignored["hellaswag_acc"].startswith("a score, of which more is better")
    chosen = Choice(metric="accuracy")
    _, reading = read(mixture_columns(shares), loss_columns(shares) | accuracy, chosen)
    assert list(reading.results) == ["hellaswag"]


def test_runs_without_results_are_left_out_by_name(shares: np.ndarray) -> None:
    names = [f"run-{i}" for i in range(RUNS)]
    losses: dict[str, Any] = {"run_id": names, **loss_columns(shares)}
    losses["State"] = ["finished"] * (RUNS - 1) + ["crashed"]
    losses["loss_web"][1] = "diverged"
    losses["loss_code"][2] = 0.0
    runs, reading = read({"run_id": names, **mixture_columns(shares)}, losses)
    assert len(runs) == RUNS - 3
    assert reading.left_out == {
        "run-1": "no loss_web", "run-2": "no loss_code", "run-7": "State crashed",
    }  # fmt: skip


def test_a_name_joins_before_a_position(shares: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(RUNS)
    names = np.array([f"r{i}" for i in range(RUNS)])
    mixtures = {"index": list(range(RUNS)), "Name": names.tolist(), **mixture_columns(shares)}
    losses = {
        "index": list(range(RUNS)), "name": names[order].tolist(), **loss_columns(shares[order]),
    }  # fmt: skip
    runs, reading = read(mixtures, losses)
    assert reading.key == "Name"
    np.testing.assert_allclose(runs.losses, loss_values(shares))


def test_rows_joined_by_their_order_are_said(shares: np.ndarray) -> None:
    assert read(mixture_columns(shares), loss_columns(shares))[1].key is None


def test_a_law_that_does_not_see_sizes_gets_the_largest(shares: np.ndarray) -> None:
    mixtures = mixture_columns(shares) | {"params": ["70M", "160M"] * (RUNS // 2)}
    runs, reading = read(mixtures, loss_columns(shares))
    assert runs.sizes.tolist() == [70e6, 160e6]
    assert reading.roles == {"parameters": "params"}
    blind = law_named("linear")
    assert set(visible_runs(runs, blind).parameters.tolist()) == {160e6}  # type: ignore[union-attr]
    (said,) = size_remarks(runs, blind)
    assert "does not see the size of models: it is fitted to the 4 runs of the largest" in said
    seeing = replace(blind, sees_parameters=True)
    assert len(visible_runs(runs, seeing)) == RUNS
    assert size_remarks(runs, seeing) == ()


def fit_case(case: Path, tmp_path: Path, **options: Any) -> Path:
    losses = next(case.glob("l*.csv"))
    return fit_tables(
        case / "m.csv", losses, law="linear", out=tmp_path, bootstrap=0, options=Options(**options)
    )


@pytest.mark.parametrize(
    ("case", "domains", "runs"),
    [
        ("loss-and-ppl", 3, None),
        ("model_size_noprefix", 4, 32),
        ("one_table_prefixed", 4, 32),
        ("pct", 4, 32),
        ("semicolon", 4, 32),
        ("shuffled_Name", 4, 32),
        ("step_const", 4, 32),
        ("tokens_string", 4, 32),
        ("string_in_numeric", 4, 31),
        ("state_crashed", 4, None),
    ],
)
def test_cases_from_the_field(
    shared: Path, tmp_path: Path, case: str, domains: int, runs: int | None
) -> None:
    record = read_fit(fit_case(shared / "trials" / "fit" / case, tmp_path))
    assert record.reading is not None
    assert len(record.domains) == domains
    assert len(record.validation) == domains
    if runs is not None:
        assert record.cost.runs == runs
    if case == "state_crashed":
        assert record.reading.left_out
        assert all("crashed" in why or "failed" in why for why in record.reading.left_out.values())
    if case == "shuffled_Name":
        assert record.reading.key == "Name"
    if case == "tokens_string":
        assert record.mixtures[0].token_budget == 10**9


def test_accuracies_from_the_field(shared: Path, tmp_path: Path) -> None:
    record = read_fit(fit_case(shared / "trials" / "fit" / "acc", tmp_path))
    assert record.aim is not None
    assert record.aim.higher_is_better
    proportions = record.mixtures[0].proportions
    assert proportions["web"] + proportions["code"] > 0.9


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("run;web;code\na;0,25;0,75\nb;0,5;0,5\n", encoding="utf-8-sig")
    assert read_table(path) == {"run": ["a", "b"], "web": [0.25, 0.5], "code": [0.75, 0.5]}
    path.write_text("run\tweb\tcode\na\t0.25\t0.75\n")
    assert read_table(path) == {"run": ["a"], "web": [0.25], "code": [0.75]}
    path.write_text("web,web\n0.25,0.75\n")
    with pytest.raises(UserError, match="columns share a name: web"):
        read_table(path)


def test_targets_with_commas_for_thousands_are_refused() -> None:
    with pytest.raises(UserError, match="a comma separates targets"):
        table_settings(None, Options(targets="1,000,000,000"), ("web", "code"))
