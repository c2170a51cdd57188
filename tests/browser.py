"""Pages in a real browser: what they fetch, whether they fit and print, what axe-core finds."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PROBE = """
<script>%s</script>
<script>
window.addEventListener("load", async () => {
  const root = document.documentElement;
  const asked = performance.getEntriesByType("resource").map(e => e.name);
  const found = {
    width: innerWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    overflow: root.scrollWidth - root.clientWidth,
    requests: asked.filter(name => !name.startsWith("data:")),
  };
  const checked = await axe.run();
  found.violations = checked.violations.map(one => ({
    id: one.id, impact: one.impact, nodes: one.nodes.map(node => node.html.slice(0, 300)),
  }));
  found.passes = checked.passes.map(one => one.id);
  const written = document.createElement("pre");
  written.id = "found";
  written.textContent = JSON.stringify(found);
  document.body.append(written);
});
</script>
"""


@dataclass(frozen=True)
class Seen:
    """What the browser found of a page."""

    width: int
    """CSS pixels of the window's inside."""
    dark: bool
    overflow: int
    """CSS pixels that the page is wider than the window."""
    requests: list[str]
    """Addresses that the page asked for."""
    violations: list[dict[str, Any]]
    """axe-core's findings: rule, impact, elements."""
    passes: list[str]
    """Rules of axe-core that the page holds to."""

    @property
    def serious(self) -> list[dict[str, Any]]:
        """Findings that keep somebody from reading the page."""
        return [one for one in self.violations if one["impact"] in ("serious", "critical")]


class Browser:
    """Chromium without a window."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder

    def look(self, page: Path, *, width: int = 1280, dark: bool = False) -> Seen:
        """Open a copy of a page with axe-core inside."""
        probe = _PROBE % files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
        copy = self._folder / f"probed-{page.name}"
        text = page.read_text(encoding="utf-8")
        assert "</body>" in text
        copy.write_text(text.replace("</body>", probe + "</body>"), encoding="utf-8")
        # A window narrower than about 500 pixels is not opened: a frame is as narrow as it is told.
        frame = self._folder / f"frame-{page.name}"
        frame.write_text(_frame(copy.name, width), encoding="utf-8")
        shown = self._run(
            "--dump-dom", frame.as_uri(), f"--window-size={max(width, 600)},900", dark=dark
        )
        match = re.search(r'<pre id="copied">(.*?)</pre>', shown, flags=re.DOTALL)
        assert match is not None, shown[-2000:]
        return Seen(**json.loads(html.unescape(match[1])))

    def printed_pages(self, page: Path) -> int:
        """Print a page as PDF and count its sheets."""
        paper = self._folder / f"{page.stem}.pdf"
        self._run(f"--print-to-pdf={paper}", "--no-pdf-header-footer", page.as_uri())
        return len(re.findall(rb"/Type\s*/Page\b(?!s)", paper.read_bytes()))

    def _run(self, *arguments: str, dark: bool = False) -> str:
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        command = [
            self._program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--allow-file-access-from-files", "--virtual-time-budget=20000", scheme,
            f"--user-data-dir={self._folder / 'profile'}", *arguments,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        return done.stdout


def _frame(name: str, width: int) -> str:
    return f"""<!doctype html><title>frame</title><body style="margin:0">
<iframe src="{name}" style="border:0;width:{width}px;height:900px"></iframe>
<script>
const wait = setInterval(() => {{
  const found = document.querySelector("iframe").contentDocument?.getElementById("found");
  if (!found) return;
  clearInterval(wait);
  const copied = document.createElement("pre");
  copied.id = "copied";
  copied.textContent = found.textContent;
  document.body.append(copied);
}}, 50);
</script>"""


def find_browser(folder: Path) -> Browser:
    """Give Chromium, or skip the test where there is none."""
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is not None:
        return Browser(program, folder)
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail("no Chromium: the pages must be looked at (apt-get install chromium)")
    pytest.skip("no Chromium on this machine")
