"""Strict settings: numbers of tokens, and complaints that name file, line, key."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from mixscale.contracts.config import (
    Config,
    TokenCount,
    format_tokens,
    load_config,
    parse_tokens,
    read_yaml,
)
from mixscale.contracts.errors import UserError


class Inner(Config):
    size: int = Field(gt=0)
    law: Literal["ddo", "bimix"] = "ddo"


class Outer(Config):
    inner: Inner
    budgets: tuple[TokenCount, ...] = ()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("300B", 300 * 10**9),
        ("1.2M", 1_200_000),
        ("50_000", 50_000),
        ("1,000,000", 10**6),
        ("0.3b", 300_000_000),
        ("1e9", 10**9),
        ("2t", 2 * 10**12),
        (" 7k ", 7000),
    ],
)
def test_token_counts(text: str, tokens: int) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize("text", ["300C", "-3B", "1.5", "B", "", "1,000", "3 000"])
def test_what_is_no_number_of_tokens(text: str) -> None:
    with pytest.raises(ValueError, match="number of tokens"):
        parse_tokens(text)


@given(st.integers(1, 999), st.sampled_from(["", "k", "M", "B", "T"]))
def test_what_is_written_for_people_reads_back(number: int, suffix: str) -> None:
    tokens = number * 1000 ** ["", "k", "M", "B", "T"].index(suffix)
    assert format_tokens(tokens) == f"{number}{suffix}"
    assert parse_tokens(f"{number}{suffix}") == tokens


@given(st.integers(1, 999_999), st.sampled_from("kMBT"))
def test_decimals_of_a_suffix_are_exact(thousandths: int, suffix: str) -> None:
    text = f"{thousandths // 1000}.{thousandths % 1000:03d}{suffix}"
    assert parse_tokens(text) == thousandths * 1000 ** "kMBT".index(suffix)


@pytest.mark.parametrize("text", ["1.0001k", "0.5", "1e400", "1e99999999999", "2.5e0"])
def test_text_that_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a"):
        parse_tokens(text)


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (0, 0),
        (10**18 + 1, 10**18 + 1),
        (3e11, 300_000_000_000),
        (np.int64(7), 7),
        (np.uint32(7), 7),
        (np.float32(1024), 1024),
    ],
)
def test_numbers_are_token_counts(value: object, tokens: int) -> None:
    found = parse_tokens(value)
    assert found == tokens
    assert type(found) is int


@pytest.mark.parametrize("value", [-1, 1.5, math.nan, math.inf, True, None, [1], np.bool_(True)])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(UserError, match=r"is not a whole number of tokens; write for example 300B"):
        parse_tokens(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner: {size: 0}", r"x\.yaml:1: inner\.size: .*greater than 0 \(found 0\)"),
        (
            "inner:\n  size: 1\n  lwa: ddo",
            r"x\.yaml:3: inner\.lwa: unknown key; did you mean 'l",
        ),
        (
            "inner:\n  size: 1\n  zz: 1\n  qq: 2",
            r"allowed here: law, size\n.*qq: unknown key$",
        ),
        (
            "x: &x {lwa: ddo}\ninner:\n  <<: *x\n  size: 1",
            r"x\.yaml:1: inner\.lwa: unknown",
        ),
        ("inner: {size: 1, law: cubic}", r"inner\.law: .*'ddo' or 'bimix' \(found 'cubic'\)"),
        ("budgets: [1k]", r"x\.yaml: inner: missing"),
        ("inner: {size: 1}\nbudgets: [1k, 2q]", r"x\.yaml:2: budgets\.1: '2q' is not a number"),
        ("inner: {size: 1}\ninner: {size: 2}", r"x\.yaml:2: not valid YAML: .*duplicate key"),
        ("- 1\n- 2", r"expected a YAML mapping .*found a Seq"),
        ("", "expected a YAML mapping .*found nothing"),
        ("inner: [", r"x\.yaml:1: not valid YAML"),
    ],
)
def test_complaints_say_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_config(path, Outer)


def test_every_mistake_is_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("inner: {size: 0, law: cubic}\nbudgets: [x]\n")
    with pytest.raises(UserError) as caught:
        load_config(path, Outer)
    assert len(str(caught.value).splitlines()) == 3


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(UserError, match=r"x\.yaml: not UTF-8 text \(byte 3\)"):
        read_yaml(tmp_path / "x.yaml")


def test_settings_do_not_change_after_loading() -> None:
    config = Outer(inner=Inner(size=1))
    with pytest.raises(ValueError, match="frozen"):
        config.inner.size = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (999_999, "1M"),
        (999_400_000, "999M"),
        (999_999_999, "1B"),
        (1e15, "1000T"),
        (2.5e16, "25000T"),
        (1234, "1.23k"),
        (999.7, "1k"),
        (12, "12"),
    ],
)
def test_tokens_are_never_written_with_a_power_of_ten(tokens: float, text: str) -> None:
    assert format_tokens(tokens) == text
    assert parse_tokens(text) > 0
