"""Rewritten YAML of many styles: read back, only the proportions have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixscale.contracts.errors import UserError
from mixscale.fit.apply.stream_proportions import with_proportions

NAMES = ("web", "code", "books", "wiki")
SHARES = {"web": 0.4, "code": 0.25, "books": 0.25, "wiki": 0.1}
# How a proportion may stand in a block mapping, indented by eight, and in braces.
BLOCK = (
    "", "proportion: 0.5", "proportion:   0.5   # old", "proportion:", "proportion:  # empty",
    "proportion: ~", "proportion: '0.5'", "proportion: &{name} 0.5",
    "proportion: &{name}", "proportion: !!float 0.5", "proportion: |\n          0.5",
    "proportion: >-  # folded\n          0.5\n", "proportion: ${{variables.share}}",
    "proportion: *shared", "'proportion': 5.0e-1",
)  # fmt: skip
FLOW = (
    "", "proportion: 0.5", "proportion: ", "proportion", "proportion : 0.5", '"proportion":0.5',
    '"proportion":', "proportion: &{name} 0.5", "proportion: *shared", "proportion: null",
)  # fmt: skip
OTHERS = (
    "local: ./{name}",
    "split: train",
    'remote: "s3://bucket/#{name}"',
    "download_retry: 2  # proportion: 0.1",
    "keep_zip: no",
    "validate_hash: |\n          proportion: 0.9\n          # mixscale proportions: no",
    "# a comment\n        download_timeout: 1e2",
)
TOPS = ("", "# top\n", "# mixscale proportions: fit old\n", "---\n", "\n\n")
ENDS = ("", "eval_loader: []\n", "note: |\n  # mixscale proportions: x\n")


@st.composite
def block_streams(draw: st.DrawFn, name: str) -> str:
    others = draw(st.lists(st.sampled_from(OTHERS), min_size=1, max_size=4, unique=True))
    lines = [line.format(name=name) for line in others]
    proportion = draw(st.sampled_from(BLOCK)).format(name=name)
    if proportion:
        lines.insert(draw(st.integers(0, len(lines))), proportion)
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), "<<: *common")
    gap = draw(st.sampled_from(["", "\n", "\n        # between\n"]))
    return f"      {name}:" + "".join(f"\n        {line}" for line in lines) + gap + "\n"


@st.composite
def flow_streams(draw: st.DrawFn, name: str) -> str:
    parts = draw(st.lists(st.sampled_from([f"local: {name}", '"split": train']), unique=True))
    proportion = draw(st.sampled_from(FLOW)).format(name=name)
    if proportion:
        parts.insert(draw(st.integers(0, len(parts))), proportion)
    comma = draw(st.sampled_from([", ", ",\n          ", " ,  "]))
    return f"      {name}: {{ {comma.join(parts)} }}{draw(st.sampled_from(['', '  # c']))}\n"


@st.composite
def run_yamls(draw: st.DrawFn) -> str:
    streams = "".join(
        draw(st.one_of(block_streams(name), flow_streams(name)))
        for name in draw(st.permutations(NAMES))
    )
    top = draw(st.sampled_from(TOPS))
    middle = draw(st.sampled_from(["", "    shuffle: true\n", "    epoch_size:\n"]))
    end = draw(st.sampled_from(ENDS))
    text = (
        f"{top}variables: {{share: 0.3, s: &shared 0.2}}\ncommon: &common\n  keep_zip: true\n"
        f"train_loader:\n  name: text\n  dataset:\n    streams:\n{streams}{middle}{end}"
    )
    if draw(st.booleans()):
        text = text.rstrip("\n")
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
    return draw(st.sampled_from(["", "\ufeff"])) + text


def without_proportions(text: str) -> tuple[Any, dict[str, Any]]:
    document = yaml.safe_load(text)
    streams = document["train_loader"]["dataset"]["streams"]
    return document, {name: stream.pop("proportion", None) for name, stream in streams.items()}


@settings(max_examples=150)
@given(run_yamls())
def test_only_proportions_change(text: str) -> None:
    out = with_proportions(text, SHARES, provenance="fit x")
    rest, _ = without_proportions(text)
    changed, proportions = without_proportions(out)
    assert proportions == SHARES
    assert changed == rest
    assert out.removeprefix("\ufeff").startswith("# mixscale proportions: fit x")
    assert with_proportions(out, SHARES, provenance="fit x") == out
    assert out.count("\r\n") == (out.count("\n") if "\r\n" in text else 0)


def test_an_empty_proportion_at_the_end_of_the_file() -> None:
    text = (
        "train_loader:\n  dataset:\n    streams:\n      a:\n        local: x\n        proportion:"
    )
    assert with_proportions(text, {"a": 1.0}, provenance="p").endswith("proportion: 1.0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "train_loader: {dataset: {streams: {a: {proportion: 0.1, local: x, proportion: 0.2}}}}",
            "line 1: proportion: this key is on line 1 already",
        ),
        (
            "train_loader:\n  dataset:\n    streams: {a: {local: x}}\n    streams: {a: {local: y}}",
            "line 4: streams: this key is on line 3 already",
        ),
        (
            "train_loader: {dataset: {streams: {a: {local: x}}}}\ntrain_loader: {}\n",
            "line 2: train_loader: this key",
        ),
        (
            "l: &l {dataset: {streams: {a: {local: x}}}}\ntrain_loader: *l\n",
            "line 2: no 'dataset' is written here",
        ),
        (
            "l: &l {streams: {a: {local: x}}}\ntrain_loader:\n  dataset:\n    <<: *l\n    e: 1\n",
            "line 4: no 'streams' is written here",
        ),
        ("train_loader: {dataset: {streams: {a: {proportion: [1]}}}}", "one number"),
        (
            "train_loader: {dataset: {streams: {a: &a {local: x}}}}\neval_loader: {<<: *a}\n",
            r"eval_loader\.proportion: would change with",
        ),
        (
            "train_loader: {dataset: {streams: {a: {local: x}}}}\nx: !python/tuple [1]\n",
            "cannot read the file as it is",
        ),
        ("a:\n\tb: 1\n", "line 2: not valid YAML"),
        ("train_loader:\n dataset:\n  streams:\n   a:\n    proportion:\t1\n", "line 5: not valid"),
    ],
)
def test_what_cannot_be_rewritten_safely_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_proportions(text, {"a": 1.0}, provenance="p")


def test_a_mapping_that_holds_itself_is_no_trouble() -> None:
    text = "x: &x {again: *x}\ntrain_loader: {dataset: {streams: {a: {local: x}}}}\n"
    assert "a: {proportion: 1.0, local: x}" in with_proportions(text, {"a": 1.0}, provenance="p")


def test_the_field_trials_file(shared: Path) -> None:
    text = (shared / "trials/train/apply-empty-proportion.yaml").read_text(encoding="utf-8")
    names = ("python", "docstrings", "headers", "readmes")
    out = with_proportions(text, dict.fromkeys(names, 0.25), provenance="fit x")
    assert out.count("proportion: 0.25\n") == 4
    rest, _ = without_proportions(text)
    changed, proportions = without_proportions(out)
    assert changed == rest
    assert proportions == dict.fromkeys(names, 0.25)
