"""The page of a fit, in a real browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mixscale.contracts.fit_record import read_fit
from mixscale.fit.output.advised import advised
from mixscale.fit.output.comparison import compare
from mixscale.fit.output.page import render_page, report
from mixscale.pages.rounding import number, percent, percent_span
from tests.browser import find_browser


@pytest.mark.parametrize("kind", ["clear", "unsure", "both"])
def test_everybody_can_read_it_anywhere(
    clear: Path, unsure: Path, tmp_path: Path, kind: str
) -> None:
    pages = {
        "clear": lambda: clear / "report.html",
        "unsure": lambda: unsure / "report.html",
        "both": lambda: compare(clear, unsure),
    }
    page, browser = pages[kind](), find_browser(tmp_path)
    for width, dark in ((360, False), (768, True), (1280, False), (1280, True)):
        seen = browser.look(page, width=width, dark=dark)
        assert (seen.width, seen.dark) == (width, dark)
        assert seen.overflow <= 0
        assert seen.requests == []
        assert seen.serious == []
        assert "color-contrast" in seen.passes
    assert browser.printed_pages(page) <= 2


def test_the_page_is_whole_in_itself(clear: Path) -> None:
    html = (clear / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=\"(?!#)", html)
    assert "url(" not in html
    for name in ("mixture", "effects", "laws", "responses"):
        path = clear / f"{name}.png"
        # PNG files are for slides; which there are depends on what was measured.
        assert not path.exists() or path.read_bytes().startswith(b"\x89PNG")


def test_the_page_can_be_drawn_again_from_the_record(clear: Path) -> None:
    page = clear / "report.html"
    before = page.read_text(encoding="utf-8")
    page.unlink()
    assert report(clear / "fit.json") == page
    assert page.read_text(encoding="utf-8") == before


def test_the_answer_comes_first(clear: Path) -> None:
    parser = Page()
    parser.feed((clear / "report.html").read_text(encoding="utf-8"))
    assert parser.headings == [
        "The mixture",
        "How the best mixture moves",
        "What each domain does for each result",
        "How well the laws predict",
        "What the proxy runs cost",
        "What would make it surer",
        "Everything else",
        "Words",
    ]
    first = " ".join(parser.text_before_headings.split())
    record = read_fit(clear)
    found = advised(record)
    assert f"Change the mixture for {found.run}" in first
    gain, interval = found.mixture.recommended_gain, found.mixture.recommended_interval
    assert gain is not None
    assert f"lower by {number(gain, interval)} nats" in first
    assert f"mixscale apply {clear} --tokens 64M run.yaml" in first


def test_every_number_of_the_mixture_is_the_records(clear: Path) -> None:
    record = read_fit(clear)
    found = advised(record)
    parser = Page()
    parser.feed((clear / "report.html").read_text(encoding="utf-8"))
    head, *rows = parser.tables["The mixture"][0]
    assert [cell for cell, _ in head] == ["domain", "", "now", "recommended", "epochs"]
    assert [row[0][0] for row in rows] == list(record.domains)
    for domain, row in zip(record.domains, rows, strict=True):
        interval = found.interval(domain)
        assert interval is not None
        low, high = interval
        assert low <= found.shares[domain] <= high
        assert row[2][0] == spaced(percent(found.now[domain]))
        assert row[3] == (
            spaced(percent(found.shares[domain], interval)),
            spaced(percent_span(interval)),
        )
        budget = found.mixture.token_budget or 0
        epochs = found.shares[domain] * budget / record.available_tokens[domain]
        assert float(row[4][0]) == pytest.approx(epochs, rel=0.06)
    moves = parser.tables["What each domain does for each result"][0]
    for domain, row in zip(record.domains, moves[1:], strict=True):
        for result, (cell, _) in zip(record.validation, row[1:], strict=True):
            assert float(cell) == pytest.approx(record.scales[-1].moves[domain][result], abs=5e-4)


def test_a_record_of_an_earlier_version_is_shown(clear: Path) -> None:
    """What newer versions add to the record is not needed for a page."""
    record = read_fit(clear)
    lacking = {"tokens_saved": None, "decision": None}
    old = record.model_copy(
        update={
            "cautions": None,
            "scales": tuple(s.model_copy(update={"moves": {}}) for s in record.scales),
            "mixtures": tuple(m.model_copy(update=lacking) for m in record.mixtures),
            "cost": record.cost.model_copy(update={"device_seconds": {}}),
        }
    )
    page = render_page(old)
    assert "As measured: the change against the base run" in page
    assert "of training and evaluation" in page


def test_two_fits_on_one_page(clear: Path, unsure: Path) -> None:
    page = compare(clear, unsure / "fit.json")
    records = read_fit(clear), read_fit(unsure)
    assert page == clear / f"compare-{records[1].fit_id}.html"
    parser = Page()
    parser.feed(page.read_text(encoding="utf-8"))
    differ = {
        row[0][0]: [cell for cell, _ in row[1:]]
        for row in parser.tables["What differs in what was read"][0][1:]
    }
    assert differ["runs"] == [str(record.cost.runs) for record in records]
    assert "alone here" in differ["run ids"][0]
    # What is the same of both is not listed.
    assert not {"domains", "results", "objective", "constraints"} & set(differ)
    _, *rows = parser.tables["The mixtures"][0]
    both = [advised(record) for record in records]
    for domain, row in zip(records[0].domains, rows, strict=True):
        shares = [
            one.shares[domain] if one.change else one.mixture.proportions[domain] for one in both
        ]
        assert float(row[4][0]) == pytest.approx(100 * (shares[1] - shares[0]), abs=0.06)
    same = compare(clear, clear).read_text(encoding="utf-8")
    assert "Nothing: the same runs, results, objective and constraints." in same


def test_many_results_do_not_bury_the_page(clear: Path, tmp_path: Path) -> None:
    """A hundred tasks: the page shows those that move most, and all of them where asked."""
    record = read_fit(clear)
    names = tuple(f"task_{i:03d}" for i in range(100))
    moves = {
        domain: {name: (i - 50) * 1e-3 * (k + 1) for i, name in enumerate(names)}
        for k, domain in enumerate(record.domains)
    }
    last = record.scales[-1].model_copy(update={"moves": moves})
    many = record.model_copy(
        update={"validation": names, "scales": (*record.scales[:-1], last), "results": {}}
    )
    path = tmp_path / "many.html"
    path.write_text(render_page(many, clear), encoding="utf-8")
    parser = Page()
    parser.feed(path.read_text(encoding="utf-8"))
    few, every = parser.tables["What each domain does for each result"]
    # Those at both ends move most.
    assert [cell for cell, _ in few[0][1:]] == [*names[:6], *names[-4:]]
    assert len(every[0]) == 101
    browser = find_browser(tmp_path)
    seen = browser.look(path, width=360)
    assert seen.overflow <= 0
    assert seen.serious == []
    assert browser.printed_pages(path) <= 2


def test_a_hundred_domains_do_not_either(clear: Path, tmp_path: Path) -> None:
    record = read_fit(clear)
    names = tuple(f"domain-with-a-long-name-{i:03d}" for i in range(100))
    share = dict.fromkeys(names, 0.01)
    results = record.validation
    moves = {d: {r: (i + 1) * 1e-4 for r in results} for i, d in enumerate(names)}
    last = record.scales[-1].model_copy(update={"moves": moves, "responses": {}})
    mixtures = tuple(
        m.model_copy(
            update={"proportions": share, "recommended": share, "intervals": None, "gains": ()}
        )
        for m in record.mixtures
    )
    said = record.recommended.model_copy(update={"current": share})
    many = record.model_copy(
        update={
            "domains": names,
            "mixtures": tuple(m.model_copy(update={"decision": said}) for m in mixtures),
            "scales": (last,),
            "recommended": said,
            "available_tokens": {},
        }
    )
    path = tmp_path / "many.html"
    path.write_text(render_page(many, clear), encoding="utf-8")
    parser = Page()
    parser.feed(path.read_text(encoding="utf-8"))
    few, every = parser.tables["What each domain does for each result"]
    assert [row[0][0] for row in few[1:]] == list(names[-30:])
    assert [row[0][0] for row in every[1:]] == list(names)
    browser = find_browser(tmp_path)
    for width in (360, 1280):
        seen = browser.look(path, width=width)
        assert seen.overflow <= 0
        assert seen.serious == []


class Page(HTMLParser):
    """Headings and tables of a page: rows of cell texts, a cell's small print apart."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.text_before_headings = ""
        self.tables: dict[str, list[list[list[tuple[str, str]]]]] = {}
        self._cell, self._open = ["", ""], []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag in ("meta", "br", "wbr"):
            return
        given = dict(attrs)
        self._open.append("definition" if given.get("class") == "definition" else tag)
        if tag == "table":
            self.tables.setdefault(self.headings[-1], []).append([])
        if tag == "tr":
            self.tables[self.headings[-1]][-1].append([])
        if tag in ("th", "td"):
            self._cell = ["", ""]
        if tag == "h2":
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()
        if tag in ("th", "td"):
            self.tables[self.headings[-1]][-1][-1].append((self._cell[0], self._cell[1]))

    def handle_data(self, data: str) -> None:
        if "definition" in self._open or "style" in self._open:
            return
        if not self.headings:
            self.text_before_headings += spaced(data, back=True)
        if "h2" in self._open:
            self.headings[-1] += data
        elif "th" in self._open or "td" in self._open:
            self._cell["small" in self._open] += data


def spaced(text: str, *, back: bool = False) -> str:
    """A percent sign stays on the line of its number."""
    return text.replace("\u00a0%", " %") if back else text.replace(" %", "\u00a0%")
