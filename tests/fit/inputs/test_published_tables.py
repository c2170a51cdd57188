"""Every published table, read as it is."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import TableReading
from mixscale.fit.fit_tables import read_runs
from mixscale.fit.inputs.long_table import widened
from mixscale.fit.inputs.mixture_table import mixtures_of
from mixscale.fit.inputs.options import TableSettings
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.inputs.table_files import read_table, stacked
from mixscale.fit.inputs.weights_table import read_weights

Rows = list[dict[str, str]]
STEP = 1_048_576
RED_PAJAMA = ("common_crawl", "c4", "github", "arxiv", "books", "stackexchange", "wikipedia")
SLIM_PAJAMA = ("arxiv", "book", "c4", "github", "commoncrawl", "stackexchange", "wikipedia")


def read(
    folder: Path,
    mixtures: Sequence[str],
    losses: Sequence[str] | None = None,
    **settings: object,
) -> tuple[Runs, TableReading]:
    tables = []
    for names in (mixtures, losses or mixtures):
        paths = [str(folder / f"{name}.csv") for name in names]
        tables.append(widened(stacked([read_table(path) for path in paths], paths), paths[0]))
    if losses is None:
        tables[1] = tables[0]
    asked = TableSettings.model_validate(settings)
    return read_runs(tables[0], tables[1], asked, (mixtures[0], (losses or mixtures)[0]))


@pytest.fixture
def cells(tables: Path, rows: Callable[[Path], Rows]) -> Callable[[str], Rows]:
    """The rows of a file as the csv module reads them."""
    return lambda name: rows(tables / f"{name}.csv")


@pytest.mark.parametrize(
    ("name", "mixtures", "validation", "checkpoints"),
    [
        ("redpajama_70M", 42, 22, 459),
        ("redpajama_160M", 21, 22, 232),
        ("redpajama_305M", 20, 22, 220),
        ("2mix_70M", 5, 2, 55),
        ("2mix_160M", 5, 2, 55),
        ("3mix_70M", 3, 3, 332),
        ("3mix_160M", 6, 3, 716),
    ],
)
def test_data_mixing_laws(
    tables: Path,
    cells: Callable[[str], Rows],
    name: str,
    mixtures: int,
    validation: int,
    checkpoints: int,
) -> None:
    runs, reading = read(tables, [f"mixinglaws_{name}"], tokens_per_step=STEP, keep_early=True)
    raw = cells(f"mixinglaws_{name}")
    size = {"70M": 70e6, "160M": 160e6, "305M": 305e6}[name.split("_")[1]]
    assert set(runs.parameters.tolist()) == {size}  # type: ignore[union-attr]
    assert reading.roles == {"parameters": "model_size", "tokens": "step"}
    assert reading.key == "run_index"
    assert len(runs.validation) == validation
    assert len(set(runs.training_runs)) == mixtures
    # Every checkpoint is read, or left out by name.
    assert len(runs) + len(reading.left_out) == checkpoints
    domains = [key.removeprefix("w_") for key in raw[0] if key.startswith("w_")]
    assert list(runs.domains) == domains
    measured = {
        (row["run_index"], int(row["step"]), row["valid_domain"]): float(row["loss"]) for row in raw
    }
    shares = {row["run_index"]: np.array([float(row[f"w_{d}"]) for d in domains]) for row in raw}
    named = {run: run.split("|")[0] for run in runs.training_runs}
    for i in range(0, len(runs), max(len(runs) // 7, 1)):
        run = named[runs.training_runs[i]]
        step = round(runs.tokens[i].sum() / STEP)
        for k, domain in enumerate(runs.validation):
            assert runs.losses[i, k] == measured[run, step, domain]
        whole = shares[run] / shares[run].sum()
        np.testing.assert_allclose(runs.shares[i], whole, atol=1e-12)


def test_sizes_of_one_design_are_given_together(tables: Path) -> None:
    names = [f"mixinglaws_redpajama_{size}" for size in ("70M", "160M", "305M")]
    runs, _ = read(tables, names, tokens_per_step=STEP)
    assert runs.domains == RED_PAJAMA
    assert len(runs) == 459 + 232 + 220
    assert runs.sizes.tolist() == [70e6, 160e6, 305e6]
    # The number of a mixture is the same at every size: its runs are others all the same.
    assert len(set(runs.training_runs)) == 42 + 21 + 20
    assert len(set(runs.mixtures)) == 42
    with pytest.raises(UserError, match="its columns are not those of"):
        read(tables, [names[0], "mixinglaws_2mix_70M"], tokens_per_step=STEP)


def test_steps_need_their_tokens(tables: Path) -> None:
    with pytest.raises(UserError, match="--tokens-per-step"):
        read(tables, ["mixinglaws_redpajama_70M"])


def test_slimpajama_sizes(tables: Path, cells: Callable[[str], Rows]) -> None:
    raw = cells("slimpajama_sizes_train")
    runs, reading = read(tables, ["slimpajama_sizes_train"])
    kept, _ = read(tables, ["slimpajama_sizes_train"], keep_early=True)
    assert runs.domains == SLIM_PAJAMA
    assert runs.validation == (*SLIM_PAJAMA, "openhermes")
    assert runs.sizes.tolist() == [122e6, 310e6, 680e6]
    assert len(set(runs.training_runs)) == 160
    assert len(runs) + len(reading.left_out) == len(raw) == 1748
    # 160 copies of a last checkpoint and 6 rows with empty cells are none of the rest.
    assert len(kept) == 1748 - 160 - 6
    reasons = list(reading.left_out.values())
    assert sum("repeats its losses" in why for why in reasons) == 160
    assert sum(why.startswith("no loss_") for why in reasons) == 6
    early = [r for r in raw if float(r["tokens"]) < 7e9 and all(r.values())]
    assert sum("early checkpoint" in why for why in reasons) == len(early)
    assert "160 checkpoints have exactly the losses of the next one" in reading.remarks[0]
    assert "--keep-early keeps them" in reading.remarks[1]
    assert runs.tokens.sum(1).min() > 7.7e9
    by_place = {(row["run_index"], round(float(row["tokens"]))): row for row in raw}
    for i in (0, 100, 700, 1100):
        name = runs.training_runs[i].split("|")[0]
        row = by_place[name, round(runs.tokens[i].sum())]
        losses = [float(row[f"loss_{v}"]) for v in runs.validation]
        assert runs.losses[i].tolist() == losses
        assert runs.parameters is not None
        assert runs.parameters[i] == float(row["model_size"])


def test_repeated_data_is_a_table_of_one_domain(tables: Path, cells: Callable[[str], Rows]) -> None:
    raw = cells("repetition_train")
    runs, reading = read(tables, ["repetition_train"])
    assert len(runs) == len(raw) == 161
    assert runs.domains == ("text",)
    assert reading.unit == "one domain"
    assert reading.left_out == {}
    assert runs.unique_tokens is not None
    assert runs.parameters is not None
    for i in (0, 80, 160):
        assert runs.tokens[i, 0] == float(raw[i]["tokens"])
        assert runs.unique_tokens[i, 0] == float(raw[i]["unique_tokens"])
        assert runs.parameters[i] == float(raw[i]["params"])
        assert runs.losses[i, 0] == float(raw[i]["loss"])


@pytest.mark.parametrize(("part", "count"), [("train", 512), ("test", 256)])
def test_regmix(tables: Path, cells: Callable[[str], Rows], part: str, count: int) -> None:
    runs, reading = read(tables, [f"regmix_{part}_1m_mixture"], [f"regmix_{part}_1m_loss"])
    assert (len(runs), len(runs.domains), len(runs.validation)) == (count, 17, 13)
    assert reading.key == "index"
    mixtures, losses = (cells(f"regmix_{part}_1m_{kind}") for kind in ("mixture", "loss"))
    for i in (0, count // 2, count - 1):
        shares = np.array([float(mixtures[i][f"w_{d}"]) for d in runs.domains])
        np.testing.assert_allclose(runs.shares[i], shares / shares.sum(), atol=1e-12)
        assert runs.losses[i].tolist() == [float(losses[i][f"loss_{v}"]) for v in runs.validation]


@pytest.mark.parametrize(
    ("ratios", "metrics", "count", "domains"),
    [
        ("olmix_dclm_ratios", "olmix_dclm_metrics", 127, 24),
        ("olmix_full_ratios_train", "olmix_full_metrics_train", 256, 64),
    ],
)
def test_olmix(
    tables: Path,
    cells: Callable[[str], Rows],
    ratios: str,
    metrics: str,
    count: int,
    domains: int,
) -> None:
    runs, reading = read(tables, [ratios], [metrics])
    assert (len(runs), len(runs.domains), len(runs.validation)) == (count, domains, 110)
    assert reading.key == "run"
    left, right = cells(ratios), cells(metrics)
    for i in (0, count - 1):
        np.testing.assert_allclose(runs.shares[i], [float(left[i][d]) for d in runs.domains])
        assert runs.losses[i].tolist() == [float(right[i][v]) for v in runs.validation]


def test_autoscale_runs_are_changes_of_a_base_run(
    tables: Path, cells: Callable[[str], Rows]
) -> None:
    raw = cells("autoscale_gpt2large_1.2B_ppl")
    runs, reading = read(tables, ["autoscale_gpt2large_1.2B_ppl"], run_tokens="1.2B")
    assert reading.unit == "changes"
    assert runs.domains == (
        "common_crawl",
        "github",
        "books",
        "wiki",
        "c4",
        "stackexchange",
        "arxiv",
    )
    assert runs.changed == tuple(BASE if r["domain"] == "none" else r["domain"] for r in raw)
    assert set(runs.scale.tolist()) == {1.2e9}
    for i, row in enumerate(raw):
        tokens = np.full(7, 1.2e9 / 7)
        if row["domain"] != "none":
            tokens[runs.domains.index(row["domain"])] *= float(row["factor"])
        np.testing.assert_allclose(runs.tokens[i], tokens)
        losses = [math.log(float(row[f"ppl_{v}"])) for v in runs.validation]
        np.testing.assert_allclose(runs.losses[i], losses)
    assert reading.ignored["ppl_mean"] == "a summary of the others"


def test_autoscale_weights_are_mixtures_of_several_budgets(
    tables: Path, cells: Callable[[str], Rows]
) -> None:
    path = tables / "autoscale_gpt2large_weights.csv"
    found = mixtures_of(read_table(path), str(path))
    raw = cells("autoscale_gpt2large_weights")
    assert found.unit == "relative"
    np.testing.assert_allclose(found.scale, [0.3e9, 0.6e9, 1.2e9])
    weights = np.array([[float(row[f"w_{d}"]) for d in found.domains] for row in raw])
    np.testing.assert_allclose(found.amounts, weights / weights.sum(1, keepdims=True))


def test_tables_without_runs_are_refused_or_read_as_what_they_are(tables: Path) -> None:
    path = tables / "autoscale_ddo_solution.csv"
    with pytest.raises(UserError, match="one row is a domain, not a run"):
        mixtures_of(read_table(path), str(path))
    weights = read_weights(tables / "mixinglaws_valid_weights.csv")
    with (tables / "mixinglaws_valid_weights.csv").open(newline="") as stream:
        expected = {row["valid_domain"]: float(row["weight"]) for row in csv.DictReader(stream)}
    assert weights == expected
    assert len(weights) == 22


def test_no_published_table_is_forgotten(tables: Path) -> None:
    """Each file in the folder is one that a test above reads."""
    known = Path(__file__).read_text(encoding="utf-8")
    for path in tables.glob("*.csv"):
        stem = path.stem
        for prefix in ("mixinglaws_", "regmix_train_", "regmix_test_"):
            stem = stem.removeprefix(prefix)
        assert stem.replace("1m_", "") in known, path.name
