"""The supply and the reading of the experiment on unequal supply; its runs take hours to make."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from examples.evidence.pages import put
from examples.evidence.scarcity import methods
from examples.evidence.scarcity.methods import HERE, Choice
from examples.evidence.scarcity.results import COMMAND, PAGE, TABLES
from examples.evidence.scarcity.supply import CHARACTERS, cut
from mixscale.contracts.experiment import ExplicitDesign, read_experiment


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


def test_every_table_has_its_place_in_the_page() -> None:
    page = PAGE.read_text()
    for name in TABLES:
        assert put(page, name, "| a |", COMMAND) != page


def test_final_runs_differ_from_the_baselines_in_their_mixtures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "OUT", tmp_path)
    thirds = dict.fromkeys(methods.baseline("natural"), 0.1428)
    path = methods.write("final", {"auto": Choice(shares=thirds, law="joint")})
    final, baselines = read_experiment(path), read_experiment(HERE / "baselines.yaml")
    assert isinstance(final.design, ExplicitDesign)
    assert sum(final.design.mixtures["auto"].values()) == pytest.approx(1, abs=1e-12)
    own = {"name", "design", "shardset", "out"}
    assert final.model_dump(exclude=own) == baselines.model_dump(exclude=own)
    assert final.design.scales == baselines.design.scales
