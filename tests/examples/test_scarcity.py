"""The supply of the proxies whose domains are as unequal as those of RedPajama."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from examples.evidence.scarcity.supply import CHARACTERS, cut


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    """A domain of 41 long texts in two files, one of them compressed, with damaged rows."""
    folder = tmp_path / "arxiv"
    (folder / "2023").mkdir(parents=True)
    rows = [json.dumps({"text": f"{i:03} " + "word " * 1000}) for i in range(41)]
    with pa.output_stream(folder / "a.jsonl.zst", compression="zstd") as stream:
        stream.write(("\n".join([*rows[:20], '{"text": ']) + "\n").encode())
    (folder / "2023" / "b.jsonl").write_text("\n".join([*rows[20:], '{"title": "x"}', "7"]) + "\n")
    return folder


def test_supply_is_as_large_as_wanted_and_apart_from_validation(domain: Path) -> None:
    supply, held_out = cut(domain, 10 * CHARACTERS)
    assert len(held_out) == 4
    assert len(supply) == 10
    assert not {*supply} & {*held_out}
    assert {len(text) for text in supply} == {CHARACTERS}


def test_a_domain_with_less_than_wanted_gives_all(domain: Path) -> None:
    supply, held_out = cut(domain, 10**9)
    assert len(supply) + len(held_out) == 41


def test_supply_is_the_same_wherever_texts_lie(domain: Path, tmp_path: Path) -> None:
    before = cut(domain, 50_000)
    with pa.input_stream(domain / "a.jsonl.zst", compression="zstd") as stream:
        (domain / "2023" / "c.jsonl").write_bytes(stream.read())
    (domain / "a.jsonl.zst").unlink()
    assert cut(domain, 50_000) == before
