"""The report, in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

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
