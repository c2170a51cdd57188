"""The frame of every page: whole, escaped, explained, readable by everybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixscale.pages.bars import Bar, bars, legend
from mixscale.pages.elements import breakable, element, joined, listed
from mixscale.pages.frame import Page, details, paragraph, render, section
from mixscale.pages.glossary import DEFINITIONS, term
from mixscale.pages.heat_map import heat_cell
from mixscale.pages.panels import Axes, Series, panel, panels, round_ticks
from mixscale.pages.tables import cell, facts, table
from tests.browser import find_browser

NASTY = "<script>alert(1)</script> & \"'"


@pytest.fixture(scope="module")
def page() -> str:
    """Everything that the frame offers, once."""
    axes = Axes(
        x=(1.0, 100.0), y=(0.0, 50.0), x_ticks=[(1.0, "1M"), (100.0, "100M")],
        y_ticks=[(0.0, "0 %"), (50.0, "50 %")], from_x=10.0,
    )  # fmt: skip
    series = Series(
        x=[1, 10, 100],
        y=[10, 20, 30],
        filled=[True, True, False],
        low=[5, 15, 20],
        high=[15, 25, 45],
    )
    drawn = [panel(name, [series], axes, "rises") for name in "abcde"]
    rows = [
        [name, cell(bars([Bar(value=0.2, kind="now"), Bar(value=0.5, span=(0.4, 0.6))], 0.8)),
         "50 %", heat_cell("+0.1", strength), heat_cell("-0.2", -strength)]
        for name, strength in (("web", 1.0), ("code", 0.5), (NASTY, 0.0))
    ]  # fmt: skip
    return render(
        Page(
            title=f"Title {NASTY}",
            lead=joined(["About ", term("mixture", "mixtures"), "."]),
            sections=[
                section("Bars", legend([("now", "now"), ("advised", "later")]),
                        table("Bars", [term("domain"), "", "now", "a", "b"], rows)),
                section("Panels", panels(drawn, "c")),
                section("Facts", facts([("runs", 5)]), listed(["one", "two"]),
                        details("more", paragraph("x" * 300))),
                section("Nothing", None),
            ],
            footer="made",
        )
    )  # fmt: skip


def test_texts_are_escaped(page: str) -> None:
    assert "<script>" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    assert element("p", title='"x" <y>') == '<p title="&#34;x&#34; &lt;y&gt;"></p>'


def test_long_names_break_behind_their_signs() -> None:
    assert breakable("a_b::c<d") == "a_<wbr>b::<wbr>c&lt;d"


def test_what_is_empty_is_left_out(page: str) -> None:
    assert "Nothing" not in page
    assert listed([]) is None
    assert element("p", None, "a", hidden=False, open=True) == "<p open>a</p>"


def test_only_the_words_that_are_used_are_explained(page: str) -> None:
    assert 'id="term-mixture"' in page
    assert 'id="term-domain"' in page
    assert 'id="term-shard"' not in page
    assert all(text.endswith(".") for text in DEFINITIONS.values())


def test_the_page_repeats_to_the_byte(page: str) -> None:
    assert "url(" not in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("most", "ticks"), [(31.0, [0, 20, 40]), (0.9, [0, 0.5, 1.0]), (0.0, [0, 1])]
)
def test_ticks_are_round_and_reach_the_largest(most: float, ticks: list[float]) -> None:
    assert round_ticks(most) == pytest.approx(ticks)


@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_read_it(page: str, tmp_path: Path, dark: bool) -> None:
    browser = find_browser(tmp_path)
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    for width in (360, 768, 1280):
        seen = browser.look(path, width=width, dark=dark)
        assert (seen.width, seen.dark) == (width, dark)
        assert seen.overflow <= 0
        assert seen.requests == []
        assert seen.serious == []
        assert "color-contrast" in seen.passes
    assert browser.printed_pages(path) == 1


def test_what_keeps_somebody_from_reading_is_found(tmp_path: Path) -> None:
    """The check itself: a page with faults does not pass it."""
    browser = find_browser(tmp_path)
    path = tmp_path / "bad.html"
    path.write_text(
        '<!doctype html><html lang="en"><head><title>bad</title></head><body><main><h1>h</h1>'
        '<p style="color:#bbb;background:#fff">pale</p><img src="data:,">'
        '<div style="width:3000px">wide</div></main></body></html>'
    )
    seen = browser.look(path, width=360)
    assert {one["id"] for one in seen.serious} >= {"color-contrast", "image-alt"}
    assert seen.overflow > 0
