"""Stream proportions are the only thing that a rewriting changes."""

from __future__ import annotations

import difflib
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mixscale.contracts.errors import UserError
from mixscale.fit.apply.exact_decimals import exact_shares
from mixscale.fit.apply.stream_proportions import with_proportions

FANCY = """\
# top comment
variables: {a: &p 0.3}   # keep
train_loader:
  name: text
  dataset:
    streams:
      web:   &w   # the web
        local: /x   \n        proportion:    0.5 # old
        split: "train"
      'code': {local: 'y', split: train}
      books:
        <<: *w
        # hello
        local: z
      wiki:
        local: q
        proportion: *p
eval_loader: []
"""
SHARES = {"web": 0.4, "code": 0.25, "books": 0.25, "wiki": 0.1}
"""Their floats sum to 1 in this order, so that the rewriting keeps them as they are."""


def rewrite(text: str, shares: dict[str, float] = SHARES, **rest: object) -> str:
    return with_proportions(text, shares, provenance="fit x", **rest)  # type: ignore[arg-type]


def streams(text: str) -> dict:
    return YAML(typ="safe").load(text)["train_loader"]["dataset"]["streams"]


def test_anchors_merges_flow_and_comments_survive() -> None:
    out = rewrite(FANCY)
    diff = [d for d in difflib.ndiff(FANCY.splitlines(), out.splitlines()) if d[0] in "+-"]
    assert diff == [
        "+ # mixscale proportions: fit x",
        "-         proportion:    0.5 # old",
        "+         proportion:    0.4 # old",
        "-       'code': {local: 'y', split: train}",
        "+       'code': {proportion: 0.25, local: 'y', split: train}",
        "+         proportion: 0.25",
        "-         proportion: *p",
        "+         proportion: 0.1",
    ]
    assert {name: stream["proportion"] for name, stream in streams(out).items()} == SHARES


def test_a_second_rewriting_replaces_the_line_on_top() -> None:
    once = rewrite(FANCY)
    assert rewrite(once) == once
    again = with_proportions(once, SHARES, provenance="fit y")
    assert again == once.replace("fit x", "fit y")


def test_windows_line_ends_and_byte_order_mark_survive() -> None:
    text = "\ufeff" + FANCY.replace("\n", "\r\n")
    out = rewrite(text)
    assert out.startswith("\ufeff# mixscale proportions: fit x\r\n")
    assert out.count("\n") == out.count("\r\n")
    assert rewrite(out) == out


def test_other_names_are_mapped() -> None:
    out = rewrite(
        FANCY, {"cc": 0.4, "code": 0.25, "books": 0.25, "wiki": 0.1}, streams={"cc": "web"}
    )
    assert streams(out)["web"]["proportion"] == 0.4


def test_the_platform_layout_is_found() -> None:
    nested = "name: job\nparameters:\n" + "".join(
        f"  {line}\n" if line else "\n" for line in FANCY.splitlines()
    )
    assert "proportion:    0.4 # old" in rewrite(nested)


def plain(body: str) -> str:
    return f"train_loader:\n  dataset:\n    streams:\n{body}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            plain("      web: {local: a}\n      math: {local: b}\n"),
            r"differing: \['books', 'code', 'math', 'wiki'\]",
        ),
        ("train_loader:\n  dataset: {local: a}\n", "no train_loader.dataset.streams"),
        (FANCY.replace("split: train}", "repeat: 2}"), "code.repeat: Streaming takes either"),
        (FANCY.replace('split: "train"', "choose: 9"), "choose: Streaming takes either"),
        (
            plain("      web: &w {local: a}\n      code: *w\n      books: {}\n      wiki: {}\n"),
            "code is the alias .w",
        ),
        (
            plain("      web:\n      code:\n      books:\n      wiki:\n"),
            "expected the stream's settings",
        ),
        ("s: &s {web: {}}\n" + plain("").rstrip() + " *s\n", "alias .s"),
        ("s: &s {web: {}}\n" + plain("      <<: *s\n"), "merges another mapping"),
        (FANCY.replace("0.5", "&q 0.5") + "x: *q\n", r"through \*q"),
        ("a: [1\n", "line 2: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "one YAML document"),
    ],
)
def test_what_cannot_be_rewritten_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rewrite(text)


def test_absolute_amounts_are_seen_through_a_merge() -> None:
    text = "d: &d {choose: 5}\n" + plain(
        "      web: {<<: *d, local: a}\n      code: {}\n      books: {}\n      wiki: {}\n"
    )
    with pytest.raises(UserError, match=r"web\.choose"):
        rewrite(text)


def test_an_anchored_number_keeps_its_anchor() -> None:
    assert "proportion:    &q 0.4 # old" in rewrite(FANCY.replace("0.5", "&q 0.5"))


def test_empty_streams_are_filled() -> None:
    text = plain("      web: &e {}\n      code: { }\n      books: {}\n      wiki: {}\n")
    out = rewrite(text)
    assert "web: &e {proportion: 0.4}" in out
    assert streams(out)["code"] == {"proportion": 0.25}


@pytest.mark.parametrize("shares", [{"a": 0.5, "b": 0.6}, {"a": -0.1, "b": 1.1}, {"a": math.nan}])
def test_shares_that_are_none_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(UserError, match="sum to 1"):
        exact_shares(shares)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=120))
def test_decimals_sum_to_exactly_one(raw: list[float]) -> None:
    total = math.fsum(raw)
    shares = {f"d{i}": value / total for i, value in enumerate(raw)}
    texts = exact_shares(shares)
    floats = [float(text) for text in texts.values()]
    assert sum(floats) == 1.0
    assert math.fsum(floats) == 1.0
    for name, text in texts.items():
        assert abs(float(text) - shares[name]) <= 2.5e-6


@settings(max_examples=60)
@given(
    names=st.lists(
        st.text("abcdefgh_-", min_size=1, max_size=8).filter(lambda n: n[0] not in "-"),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    old=st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=8, max_size=8),
    indent=st.integers(1, 6),
)
def test_all_other_lines_stay(names: list[str], old: list[float | None], indent: int) -> None:
    pad = " " * indent
    lines = ["train_loader:", f"{pad}dataset:", f"{pad * 2}streams:"]
    for name, share in zip(names, old, strict=False):
        lines += [f"{pad * 3}{name}: # c", f"{pad * 4}local:   '{name}'"]
        if share is not None:
            lines.append(f"{pad * 4}proportion: {share!r}")
    text = "\n".join(lines) + "\n"
    out = rewrite(text, {name: 1 / len(names) for name in names})
    keep = [line for line in lines if "proportion" not in line]
    assert [line for line in out.splitlines() if "proportion" not in line] == keep
    assert sum(stream["proportion"] for stream in streams(out).values()) == 1.0


def test_the_file_is_untouched_when_refused(tmp_path: Path) -> None:
    from mixscale.fit.apply.run_yaml import apply

    path = tmp_path / "run.yaml"
    path.write_text(FANCY, encoding="utf-8")
    with pytest.raises(UserError, match="cannot read"):
        apply(tmp_path / "no-fit", 10**9, path)
    assert path.read_text(encoding="utf-8") == FANCY
    assert [p.name for p in tmp_path.iterdir()] == ["run.yaml"]
