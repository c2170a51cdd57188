"""The same twelve runs, written as the tools that people use write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import TableReading
from mixscale.fit.fit_tables import read_runs
from mixscale.fit.inputs.cells import read_number, read_size
from mixscale.fit.inputs.columns import result_of, role_of, without_multiple
from mixscale.fit.inputs.long_table import widened
from mixscale.fit.inputs.options import TableSettings
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.table_files import read_table

DOMAINS = ("web", "code", "books")
COUNT = 12
SHARES = np.random.default_rng(0).dirichlet(np.ones(3), COUNT)
LOSSES = 2 + SHARES @ np.array([[0.4, 0.6, 0.5], [0.7, 0.1, 0.6], [0.5, 0.7, 0.2]])
RUNS = [f"run-{i}" for i in range(COUNT)]

Table = dict[str, Sequence[Any]]


def shares(form: str = "w_{}", text: Callable[[float], Any] = float) -> Table:
    return {form.format(d): list(map(text, SHARES[:, i])) for i, d in enumerate(DOMAINS)}


def losses(form: str = "loss_{}", text: Callable[[float], Any] = float) -> Table:
    return {form.format(d): list(map(text, LOSSES[:, i])) for i, d in enumerate(DOMAINS)}


def as_text(table: Table, separator: str = ",", quoting: Any = csv.QUOTE_MINIMAL) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, quoting=quoting)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return stream.getvalue()


def read(path: Path, text: str | bytes, **settings: Any) -> tuple[Runs, TableReading]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    table = widened(read_table(path), str(path))
    asked = TableSettings.model_validate(settings)
    return read_runs(table, table, asked, (str(path), str(path)))


PLAIN = {"run_id": RUNS} | shares() | losses()
TEXTS = {
    "byte order mark, a comma at the end of lines": "\ufeff"
    + as_text(PLAIN).replace("\r\n", ",\r\n"),
    "Excel's Unicode text": as_text(PLAIN, "\t").encode("utf-16"),
    "a first line that names the separator": "sep=;\n" + as_text(PLAIN, ";"),
    "bars": as_text(PLAIN, "|"),
    "every number in quotes": as_text(PLAIN, quoting=csv.QUOTE_ALL),
    "spaces around names": as_text({f" {name} ": cells for name, cells in PLAIN.items()}),
    "decimal commas in quotes": as_text(
        {"run_id": RUNS}
        | shares(text=lambda x: f"{x:.9f}".replace(".", ","))
        | losses(text=lambda x: f"{x:.9f}".replace(".", ","))
    ),
    "decimal commas, the first row whole": as_text(
        {"run_id": RUNS}
        | shares(text=lambda x: f"{x:.9f}".replace(".", ","))
        | losses(text=lambda x: f"{x:.9f}".replace(".", ",")),
        ";",
    ),
    "percent signs": as_text({"run": RUNS} | shares("{}", lambda x: f"{100 * x:.8f} %") | losses()),
    "the metric in brackets": as_text({"Run ID": RUNS} | shares() | losses("Loss ({})")),
    "the metric behind": as_text({"run": RUNS} | shares() | losses("{}_val_loss")),
    "a mean beside": as_text(PLAIN | {"loss_mean": LOSSES.mean(1).tolist()}),
    "a training loss beside": as_text(PLAIN | {"train_loss": [3.0] * COUNT}),
    "long": as_text(
        {
            "run": np.repeat(RUNS, 3).tolist(),
            **{name: np.repeat(cells, 3).tolist() for name, cells in shares().items()},
            "tokens": ["1B"] * (3 * COUNT),
            "domain": [*DOMAINS] * COUNT,
            "loss": LOSSES.ravel().tolist(),
        }
    ),
    "tokens with commas between thousands": as_text(
        {"run": RUNS} | shares("tokens_{}", lambda x: f"{round(x * 10**12):,}") | losses()
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
def test_all_of_them_are_the_same_runs(tmp_path: Path, kind: str) -> None:
    runs, reading = read(tmp_path / "t.csv", TEXTS[kind])
    assert runs.domains == DOMAINS
    assert runs.validation == DOMAINS
    np.testing.assert_allclose(runs.shares, SHARES, atol=1e-8)
    np.testing.assert_allclose(runs.losses, LOSSES, atol=1e-8)
    assert reading.left_out == {}
    assert not set(reading.ignored) & {f"w_{d}" for d in DOMAINS}


def test_an_export_of_weights_and_biases(tmp_path: Path) -> None:
    export: Table = {
        "Name": RUNS,
        "State": ["finished"] * 10 + ["crashed", "failed"],
        "Notes": ["-"] * COUNT,
        "Created": ["2026-01-01T00:00:00.000Z"] * COUNT,
        "Runtime": [100] * COUNT,
        "Sweep": [""] * COUNT,
        **shares("mix/{}"),
        "_step": [1000 + i for i in range(COUNT)],
        "lr-AdamW/group0": [0.1] * COUNT,
        "loss/train/total": [3.0] * COUNT,
        **losses("metrics/eval/{}/LanguageCrossEntropy"),
        **losses("metrics/eval/{}/LanguagePerplexity", np.exp),
        "throughput/tokens_per_sec": [5.0] * COUNT,
    }
    runs, reading = read(tmp_path / "w.csv", as_text(export), domains=["mix/*"])
    np.testing.assert_allclose(runs.shares, SHARES[:10])
    np.testing.assert_allclose(runs.losses, LOSSES[:10])
    assert reading.left_out == {"run-10": "State crashed", "run-11": "State failed"}
    assert reading.ignored["loss/train/total"] == "of the training data"
    with pytest.raises(UserError, match="--domains"):
        read(tmp_path / "w.csv", as_text(export))


def test_sizes_and_tokens_in_mixed_units_are_the_same(tmp_path: Path) -> None:
    sizes = ["1.2B", "1200000000", "1,200,000,000", "1.2b params"] * 3
    tokens = ["20B tokens", "20_000_000_000", "2e10", "20 000 000 000"] * 3
    runs, _ = read(tmp_path / "t.csv", as_text(PLAIN | {"params": sizes, "tokens": tokens}))
    assert set(runs.parameters.tolist()) == {1.2e9}  # type: ignore[union-attr]
    assert set(runs.scale.tolist()) == {2e10}
    counted = PLAIN | {"tokens (billions)": [20] * COUNT, "params_m": [1200] * COUNT}
    other, reading = read(tmp_path / "t.csv", as_text(counted))
    assert other.parameters is not None
    np.testing.assert_allclose(other.parameters, 1.2e9)
    np.testing.assert_allclose(other.scale, 2e10)
    assert reading.roles == {"tokens": "tokens (billions)", "parameters": "params_m"}


def test_rows_that_sum_up_the_others_are_no_runs(tmp_path: Path) -> None:
    mean: list[Any] = ["mean", *SHARES.mean(0).tolist(), *LOSSES.mean(0).tolist()]
    text = as_text(PLAIN) + ",".join(map(str, mean)) + "\n"
    runs, reading = read(tmp_path / "t.csv", text)
    assert len(runs) == COUNT
    assert reading.left_out == {"mean": "run_id mean: a summary, no run"}


def test_sizes_without_embeddings_count_where_they_are_known(tmp_path: Path) -> None:
    both = {"params": ["160M"] * COUNT, "non_embedding_params": [85_056_000] * COUNT}
    runs, reading = read(tmp_path / "t.csv", as_text(PLAIN | both))
    assert set(runs.parameters.tolist()) == {85_056_000}  # type: ignore[union-attr]
    assert runs.parameters_are == "non-embedding"
    assert reading.roles["non_embedding"] == "non_embedding_params"


@pytest.mark.parametrize(
    ("text", "number", "counted"),
    [
        ("0,25", 0.25, 0.25),
        ("2,951", 2.951, 2951),
        ("1,250,000", 1_250_000, 1_250_000),
        ("1,250.5", 1250.5, 1250.5),
        ("12 %", 12, 12),
        ("12,5%", 12.5, 12.5),
        ("1.2B", 1.2e9, 1.2e9),
        ("70M params", 7e7, 7e7),
        ("1_000", 1000, 1000),
        ("20 000", 20_000, 20_000),
        ("-0.5", -0.5, -0.5),
        ("crashed", None, None),
        ("", None, None),
        (True, None, None),
    ],
)
def test_numbers_as_people_write_them(
    text: Any, number: float | None, counted: float | None
) -> None:
    assert read_number(text) == number
    assert read_number(text, counts=True) == counted


@pytest.mark.parametrize(
    ("label", "size"),
    [
        ("pythia-70m", 7e7),
        ("Llama-3-8B", 8e9),
        ("gpt2_1.5B_wide", 1.5e9),
        ("70M to 160M", None),
        ("small", None),
        ("v2", None),
    ],
)
def test_labels_that_hold_a_size(label: str, size: float | None) -> None:
    assert read_size(label) == size


@pytest.mark.parametrize(
    ("column", "role"),
    [
        ("Model Size", "parameters"),
        ("params (M)", "parameters"),
        ("tokens_seen", "tokens"),
        ("scale_tokens_billion", "tokens"),
        ("tokens_b", None),
        ("unique_wiki", "unique"),
        ("unique_tokens", "pool"),
        ("non-embedding params", "non_embedding"),
        ("valid_domain", "validation"),
    ],
)
def test_roles(column: str, role: str | None) -> None:
    assert role_of(column) == role


def test_multiples_and_names_of_results() -> None:
    assert without_multiple("params_b") == ("params", 1e9)
    assert without_multiple("Tokens (in millions)") == ("tokens", 1e6)
    assert without_multiple("w_b") == ("w_b", 1.0)
    for column in (
        "Loss (web)",
        "metric/web_val_loss",
        "eval/loss/web",
        "web loss",
        "val_web_loss",
    ):
        found = result_of(column)
        assert found is not None
        assert (found.name, found.metric) == ("web", "loss")
