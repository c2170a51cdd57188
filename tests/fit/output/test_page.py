"""The report, in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mixscale.contracts.fit_record import read_fit
from mixscale.fit.arrays import Floats
from mixscale.fit.fit_experiment import fit_experiment
from mixscale.fit.output.page import report

PROBE = """
<script>
window.addEventListener("load", () => {
  const images = [...document.images].map(i => [i.id, i.complete, i.naturalWidth, i.naturalHeight]);
  const requests = performance.getEntriesByType("resource").map(e => e.name)
    .filter(n => !n.startsWith("data:"));
  const overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = JSON.stringify({images, requests, overflow});
  document.body.append(found);
});
</script>
"""


def losses(tokens: Floats) -> Floats:
    return 2.5 + np.array([2.0, 1.2, 0.8]) * (tokens / 1e6 + 0.05 * tokens.sum() / 1e6) ** -0.25


@pytest.fixture(scope="module")
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail("no Chromium: the report must be looked at (apt-get install chromium)")
    pytest.skip("no Chromium on this machine")


@pytest.fixture
def folder(tmp_path: Path, write_ddo_sweep: Callable) -> Path:
    return fit_experiment(write_ddo_sweep(tmp_path, losses), bootstrap=40)


@pytest.mark.parametrize("width", [1100, 390])
def test_the_browser_shows_every_figure_and_asks_for_nothing(
    browser: str, folder: Path, width: int
) -> None:
    page = folder / "report.html"
    probed = folder / "probed.html"
    html = page.read_text(encoding="utf-8")
    probed.write_text(html.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    result = subprocess.run(
        [
            *command,
            f"--window-size={width},900",
            f"--user-data-dir={folder / 'browser'}",
            "--dump-dom",
            probed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    match = re.search(r'<pre id="found">(.*?)</pre>', result.stdout)
    assert match is not None
    found = json.loads(match[1].replace("&amp;", "&"))
    shown = {name for name, complete, width, height in found["images"] if complete and width > 300}
    assert shown == {"mixture", "responses", "effects", "laws"}
    assert found["requests"] == []
    assert found["overflow"] <= 0


def test_the_page_and_the_pictures_are_self_contained(folder: Path) -> None:
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=\"(?!data:)", html)
    assert "url(" not in html
    for name in ("mixture", "responses", "effects", "laws"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_can_be_drawn_again_from_the_record(folder: Path) -> None:
    page = folder / "report.html"
    before = page.read_text(encoding="utf-8")
    page.unlink()
    assert report(folder / "fit.json") == page
    assert page.read_text(encoding="utf-8") == before


class Tables(HTMLParser):
    """The tables of a page: by heading, rows of cell texts; a cell's small print apart."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[list[tuple[str, str]]]] = {}
        self._heading, self._cell, self._open = "", ["", ""], ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "tr":
            self.found.setdefault(self._heading, []).append([])
        if tag in ("th", "td"):
            self._cell = ["", ""]
        if tag in ("h2", "th", "td", "small"):
            self._heading = "" if tag == "h2" else self._heading
            self._open = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td"):
            self.found[self._heading][-1].append((self._cell[0], self._cell[1]))
        if tag in ("h2", "th", "td"):
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "h2":
            self._heading += data
        elif self._open:
            self._cell[self._open == "small"] += data


def test_every_number_of_the_tables_is_the_records(folder: Path) -> None:
    record = read_fit(folder)
    parser = Tables()
    parser.feed((folder / "report.html").read_text(encoding="utf-8"))
    head, *rows = parser.found["Mixtures"]
    assert [cell for cell, _ in head] == ["domain", "1M", "", "4M", "", "16M", "", "256M", ""]
    assert [row[0][0] for row in rows] == list(record.domains)
    for row in rows:
        domain = row[0][0]
        for mixture, best, advised in zip(record.mixtures, row[1::2], row[2::2], strict=True):
            assert mixture.intervals is not None
            assert mixture.recommended is not None
            assert percent(best[0]) == pytest.approx(mixture.proportions[domain], abs=5e-5)
            low, high = best[1].split(" to ")
            bounds = (percent(low), percent(high))
            assert bounds == pytest.approx(mixture.intervals[domain], abs=5e-4)
            assert percent(advised[0]) == pytest.approx(mixture.recommended[domain], abs=5e-5)
    _, objective, *gains, by = parser.found["Predicted gain of the best mixture"]
    assert [cell for cell, _ in by[1:]] == [m.predicted_by for m in record.mixtures]
    for column, mixture in enumerate(record.mixtures, start=1):
        assert float(objective[column][0]) == pytest.approx(mixture.predicted_objective, abs=5e-5)
        over_uniform = next(row for row in gains if "uniform" in row[0][0])
        gain = next(g for g in mixture.gains if g.over == "uniform")
        assert float(over_uniform[column][0]) == pytest.approx(gain.gain, abs=5e-5)
        assert gain.interval is not None
        low, high = (float(text) for text in over_uniform[column][1].split(" to "))
        assert (low, high) == pytest.approx(gain.interval, abs=5e-5)
    for row, scale in zip(parser.found["Fit quality"][1:], record.scales, strict=True):
        assert int(row[1][0]) == scale.runs
        assert float(row[2][0]) == pytest.approx(scale.base_objective, rel=1e-4)
        assert float(row[4][0]) == pytest.approx(scale.noise_objective, rel=1e-4)
    for row, scale in zip(parser.found["Signal and noise"][1:], record.scales, strict=True):
        assert scale.signal is not None
        assert float(row[2][0]) == pytest.approx(scale.signal.between, rel=1e-4)
        assert float(row[3][0]) == pytest.approx(scale.signal.noise, rel=1e-4)
        assert float(row[4][0]) == pytest.approx(
            scale.signal.between / scale.signal.noise, abs=0.05
        )


def percent(text: str) -> float:
    return float(text.removesuffix("%")) / 100
