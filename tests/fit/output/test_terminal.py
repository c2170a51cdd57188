"""What commands about fits print: the answer first, within 80 characters."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.table import Table

from mixscale.cli.main import cli
from mixscale.contracts.fit_record import Caution, FitRecord, read_fit
from mixscale.fit.output import terminal
from mixscale.fit.output.advised import advised
from mixscale.fit.output.next_steps import surer_steps

RUN = """\
train_loader:
  dataset:
    streams:
      web: {local: web, proportion: 0.5}
      code: {local: code, proportion: 0.25}
      books: {local: books, proportion: 0.25}
"""


def printed(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)
    assert result.exception is None, result.exception
    return result.stdout


def test_a_change_is_said_in_a_few_lines(clear: Path) -> None:
    record = read_fit(clear)
    lines = list(terminal.answer_lines(record, clear))
    assert len(lines) <= 9
    assert lines[0].startswith("Change the mixture for 64M tokens: ")
    text = " ".join(" ".join(lines).split())
    found = advised(record)
    for name, by in list(found.changes.items())[:3]:
        assert name in lines[0] + lines[1]
        assert by
    assert "Predicted: loss lower by" in text
    assert "nats (90 %: " in text
    assert "fewer tokens" in text
    assert "chance that it is a loss: " in text
    assert "Rests on 42 runs (1M and 4M tokens" in text
    assert f"Next: mixscale apply {clear} --tokens 64M run.yaml" in lines
    # A command is for copying, so it stays on its line however long it is.
    assert all(len(line) <= 80 for line in lines if not line.startswith("Next: mixscale"))


def test_no_change_is_said_with_what_would_tell_and_its_cost(unsure: Path) -> None:
    record = read_fit(unsure)
    text = " ".join(" ".join(terminal.answer_lines(record, unsure)).split())
    assert text.startswith("Keep the mixture in use for 256M tokens.")
    assert "mixscale apply" not in text
    first = surer_steps(record)[0]
    assert f"Next: {first.do}" in text
    assert first.cost in text
    assert f"{first.runs} runs" in first.cost
    assert "tokens" in first.cost


def test_the_table_has_what_is_used_now_and_what_to_use(clear: Path, unsure: Path) -> None:
    for folder, heading in ((clear, "recommended,\n64M"), (unsure, "best found,\n256M")):
        table = terminal.mixture_table(read_fit(folder))
        heads = [str(column.header).partition("@")[0] for column in table.columns]
        assert heads[:2] == ["domain", "now"]
        assert heads[-1] == heading
        assert table.row_count == 3


def test_what_limits_the_answer_is_short_and_says_what_to_do(unsure: Path) -> None:
    record = read_fit(unsure)
    lines = list(terminal.caution_lines(record))
    assert lines[0].startswith("Note: 2 of 28 planned runs are missing; `mixscale sweep`")
    assert record.cautions
    order = [("decision", "reach", "precision").index(c.costs) for c in record.cautions]
    assert order == sorted(order)
    for caution in record.cautions:
        assert caution.remedy
        assert not caution.says.endswith(".")
    assert sum(line.startswith("Note:") for line in lines) <= 3


def test_more_notes_wait_for_details(clear: Path) -> None:
    note = Caution(costs="precision", says="so and so is unknown", remedy="measure it")
    record = read_fit(clear).model_copy(update={"cautions": (note,) * 5})
    lines = list(terminal.caution_lines(record))
    assert lines[-1] == "2 more: --details shows them."
    shown = [part for part in terminal.details(record) if isinstance(part, str)]
    assert sum("so and so is unknown" in part for part in shown) == 2


def test_remarks_of_an_earlier_version_are_counted(clear: Path) -> None:
    record = read_fit(clear).model_copy(update={"cautions": None, "warnings": ("one", "two")})
    assert list(terminal.caution_lines(record)) == ["2 remarks on this fit: --details shows them."]


def test_details_hold_everything(clear: Path) -> None:
    record = read_fit(clear)
    parts = list(terminal.details(record))
    text = "\n".join(part for part in parts if isinstance(part, str))
    assert any(isinstance(part, Table) for part in parts)
    assert all(f"warning: {warning}" in text for warning in record.warnings)
    assert all(f"law {score.law}: " in text for score in record.laws)
    assert "gain of the best mixture over the uniform one" in text


@pytest.mark.parametrize("domains", [17, 40])
def test_many_domains_stay_a_small_table(clear: Path, domains: int) -> None:
    record = with_domains(read_fit(clear), domains)
    table = terminal.mixture_table(record)
    assert table.row_count == 17
    cells = list(table.columns[0].cells)
    assert cells[-1] == f"{domains - 16} others"


def with_domains(record: FitRecord, count: int) -> FitRecord:
    names = tuple(f"domain{i:02d}" for i in range(count))
    shares = {name: 1 / count for name in names}
    mixture = record.mixtures[-1].model_copy(
        update={"proportions": shares, "recommended": shares, "intervals": None}
    )
    said = record.recommended.model_copy(update={"current": shares})
    mixture = mixture.model_copy(update={"decision": said})
    return record.model_copy(update={"domains": names, "mixtures": (mixture,), "recommended": said})


def test_apply_begins_with_what_it_did(clear: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(RUN)
    dry = printed("apply", clear, run, "--tokens", "64M", "--dry-run")
    assert " ".join(dry.split()).startswith(f"Would write {run}: a step of ")
    assert "Nothing was written (--dry-run)." in dry
    assert run.read_text() == RUN
    done = printed("apply", clear, run, "--tokens", "64M")
    head, _, diff = done.partition("\n\n")
    said = " ".join(head.split())
    assert said.startswith(f"Wrote {run}: a step of ")
    assert "Predicted: loss lower by" in said
    assert said.endswith(f"The old file is {run}.bak")
    assert "+      web: {local: web, proportion: " in diff
    again = printed("apply", clear, run, "--tokens", "64M")
    assert " ".join(again.split()).startswith(f"{run} has these proportions already")


def test_report_writes_a_page_of_one_fit_or_of_two(clear: Path, unsure: Path) -> None:
    assert printed("report", clear) == f"wrote {clear / 'report.html'}\n"
    name = f"compare-{read_fit(unsure).fit_id}.html"
    assert printed("report", clear, "--compare", unsure) == f"wrote {clear / name}\n"
    assert (clear / name).is_file()
