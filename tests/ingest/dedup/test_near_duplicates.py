"""Near duplicates go, whatever the workers, and come back when what they repeated is no more."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixscale.ingest.dedup.groups
from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build
from mixscale.ingest.corpus import Near, read_corpus
from mixscale.ingest.dedup.decide import Policy, decide
from mixscale.ingest.dedup.groups import GROUP_ROWS, Source
from mixscale.ingest.dedup.minhash import DTYPE, sign
from mixscale.ingest.runtime.local import local_runner
from mixscale.ingest.unit_rows import DUPLICATE, KEPT, NEAR_DUPLICATE
from mixscale.shards.sql.query import run_sql
from tests.ingest.dedup.unit_files import write_unit

WORDS = [f"{first}{second}" for first in "bcdfghjklm" for second in ("ane", "ire", "olo", "ut")]


def text_of(number: int, words: int = 120) -> str:
    return " ".join(random.Random(number).choices(WORDS, k=words))


def perturbed(text: str, number: int, changes: int) -> str:
    rng = random.Random(number)
    words = text.split()
    for place in rng.sample(range(len(words)), changes):
        words[place] = f"new{number}"
    return " ".join(words)


def quiet(corpus: Path, out: Path, **options: Any) -> Any:
    return build(corpus, out, **{"workers": 1, "progress": False, **options})


def status_of(rows: list[dict[str, Any]]) -> dict[tuple[str, int], tuple[str, str | None]]:
    return {(r["source_file"], r["source_row"]): (r["status"], r["detail"]) for r in rows}


@pytest.fixture
def perturbed_corpus(write_lines: Callable, write_corpus: Callable) -> Callable[..., Path]:
    """Texts, copies with two of their words exchanged, and other copies with many exchanged."""

    def make(**duplicates: Any) -> Path:
        texts = [text_of(n) for n in range(40)]
        write_lines("a/1.jsonl", [{"text": text} for text in texts])
        close = [perturbed(text, n, 2) for n, text in enumerate(texts[:20])]
        far = [perturbed(text, n, 40) for n, text in enumerate(texts[20:])]
        write_lines("b/1.jsonl", [{"text": t} for t in [*close, *far, close[0], texts[39]]])
        domains = {"a": {"paths": "a/*"}, "b": {"paths": "b/*"}}
        return write_corpus(
            domains=domains,
            duplicates={"near": {"words": 3}, **duplicates},
            split={"validation": 0.2},
        )

    return make


def test_close_copies_go_and_say_why(
    perturbed_corpus: Callable, tmp_path: Path, read_built: Any
) -> None:
    quiet(perturbed_corpus(), tmp_path / "out")
    found = status_of(read_built(tmp_path / "out").all_documents())
    for row in range(1, 21):
        assert found["b/1.jsonl", row] == ("near_duplicate", f"a/1.jsonl:{row}")
    for row in range(21, 41):
        assert found["b/1.jsonl", row][0] == "kept"
    # An exact copy of what went itself leads to the record that stays.
    assert found["b/1.jsonl", 41] == ("duplicate", "a/1.jsonl:1")
    assert found["b/1.jsonl", 42] == ("duplicate", "a/1.jsonl:40")
    assert all(status == "kept" for (file, _), (status, _) in found.items() if file[0] == "a")
    sql = "SELECT kept_domain, kept_row, source_row FROM duplicates WHERE status <> 'duplicate'"
    run_sql(tmp_path / "out", sql, format="json", output=tmp_path / "near.json")
    rows = json.loads((tmp_path / "near.json").read_text())
    assert [(r["kept_domain"], r["kept_row"]) for r in rows] == [
        ("a", r["source_row"]) for r in rows
    ]
    assert len(rows) == 20


def test_priority_and_scope_hold_for_near_copies(
    perturbed_corpus: Callable, tmp_path: Path, read_built: Any
) -> None:
    quiet(perturbed_corpus(priority=["b"]), tmp_path / "out-b")
    found = status_of(read_built(tmp_path / "out-b").all_documents())
    assert found["a/1.jsonl", 1] == ("near_duplicate", "b/1.jsonl:1")
    assert found["b/1.jsonl", 1] == ("kept", None)
    quiet(perturbed_corpus(scope="domain"), tmp_path / "out-domain")
    found = status_of(read_built(tmp_path / "out-domain").all_documents())
    assert {status for status, _ in found.values()} == {"kept", "duplicate"}


def test_bytes_do_not_depend_on_workers_or_units(
    perturbed_corpus: Callable, tmp_path: Path, read_tree: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = perturbed_corpus()
    monkeypatch.setattr("mixscale.ingest.readers.cut_units.UNIT_BYTES", 4000)
    quiet(corpus, tmp_path / "one")
    quiet(corpus, tmp_path / "two", workers=2)
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "two")


def test_growing_is_building_from_all(
    perturbed_corpus: Callable,
    write_lines: Callable,
    tmp_path: Path,
    read_tree: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mixscale.ingest.readers.cut_units.UNIT_BYTES", 4000)
    corpus = perturbed_corpus()
    quiet(corpus, tmp_path / "out")
    # The new first file takes texts out that others had lost to: some of those come back.
    changed = [perturbed(text_of(n), n + 100, 11) for n in range(20)]
    write_lines("a/0.jsonl", [{"text": text} for text in changed])
    quiet(corpus, tmp_path / "out", workers=2)
    quiet(corpus, tmp_path / "fresh")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "fresh")


def test_near_needs_a_scope(tmp_path: Path, write_corpus: Callable) -> None:
    settings = {"scope": "none", "near": True}
    corpus = write_corpus(domains={"a": {"paths": "x"}}, duplicates=settings)
    with pytest.raises(UserError, match="`near` needs `scope: corpus` or `scope: domain`"):
        read_corpus(corpus)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("permutations", [64, 128, 256])
def test_bands_find_pairs_at_the_threshold(threshold: float, permutations: int) -> None:
    near = Near(threshold=threshold, permutations=permutations)
    bands, rows = near.bands()
    assert bands * rows <= permutations
    assert 1 - (1 - threshold**rows) ** bands >= 0.95


def test_signatures_estimate_the_similarity() -> None:
    near = Near(words=2, permutations=256)
    words = [f"w{n}" for n in range(400)]
    one, other = " ".join(words), " ".join([*words[:300], *(f"x{n}" for n in range(100))])
    signatures = sign([one.encode(), other.encode(), b" .. "], near)
    # 299 runs of two words are shared, of 399 in each.
    assert abs((signatures[0] == signatures[1]).mean() - 299 / 499) < 4 * 0.5 / 16
    assert (signatures[2] == 0xFFFFFFFF).all()


NEAR = Near(threshold=0.5, permutations=16)


def compared_one_by_one(
    units: list[list[tuple[int, int, int]]], signatures: Any, scope: str, priority: list[int]
) -> dict[int, int]:
    """Find which row stays in the place of each that goes: exact copies first, then by band."""
    rows = [row for unit in units for row in unit]
    order = sorted(range(len(rows)), key=lambda row: (priority[rows[row][0]], row))
    lost: dict[int, int] = {}
    first: dict[tuple[int, int], int] = {}
    for row in order:
        domain, text, _ = rows[row]
        winner = first.setdefault((domain if scope == "domain" else 0, text), row)
        if winner != row:
            lost[row] = winner
    bands, size = NEAR.bands()
    for band in range(bands):
        sharing: dict[tuple[int, ...], list[int]] = {}
        for row in order:
            if row not in lost:
                numbers = signatures[row][band * size : (band + 1) * size].tolist()
                domain = rows[row][0] if scope == "domain" else 0
                sharing.setdefault((domain, *numbers), []).append(row)
        for members in sharing.values():
            while members:
                pivot, *members = members
                alike = [
                    row
                    for row in members
                    if (signatures[row] == signatures[pivot]).sum() >= NEAR.threshold * 16
                ]
                lost |= dict.fromkeys(alike, pivot)
                members = [row for row in members if row not in alike]
    for row in lost:
        while lost[row] in lost:
            lost[row] = lost[lost[row]]
    return lost


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 15), st.integers(0, 2**32 - 1)),
            max_size=10,
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["corpus", "domain"]),
    st.permutations([0, 1, 2]),
    st.sampled_from([3, GROUP_ROWS]),
)
def test_of_those_that_stay_no_two_are_alike(
    tmp_path_factory: pytest.TempPathFactory,
    units: list[list[tuple[int, int, int]]],
    scope: Any,
    priority: list[int],
    group_rows: int,
) -> None:
    folder = tmp_path_factory.mktemp("near")
    paths, signed = [], []
    for number, unit in enumerate(units):
        rows = [(domain, text, KEPT) for domain, text, _ in unit]
        paths.append(write_unit(folder / f"{number}.arrow", rows))
        signatures = [np.random.default_rng(seed % 7).integers(0, 9, 16) for _, _, seed in unit]
        for row, (_, _, seed) in enumerate(unit):
            change = np.random.default_rng(seed)
            places = change.random(16) < 0.3
            signatures[row][places] = change.integers(0, 9, int(places.sum()))
        # Equal texts have equal signatures.
        by_text = {text: signatures[row] for row, (_, text, _) in reversed([*enumerate(unit)])}
        chosen = [by_text[text] for _, text, _ in unit]
        signed.append(folder / f"{number}.signatures")
        np.array(chosen, DTYPE).reshape(-1, 16).tofile(signed[-1])
    policy = Policy(scope=scope, priority=tuple(priority), share=0.3, documents=0, near=NEAR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixscale.ingest.dedup.groups, "GROUP_ROWS", group_rows)
        sources = [
            Source(rows_path=path, rows=len(unit), signatures_path=signatures)
            for path, unit, signatures in zip(paths, units, signed, strict=True)
        ]
        with local_runner(1, folder) as run:
            decisions = decide(sources, policy, folder / "decisions", run)
    domains = [domain for unit in units for domain, _, _ in unit]
    values = [np.fromfile(path, DTYPE).reshape(-1, 16) for path in signed]
    signatures = np.concatenate(values)
    status, copy_of = decisions.status(0, len(domains)), decisions.copy_of(0, len(domains))

    def rank(row: int) -> tuple[int, int]:
        return priority[domains[row]], row

    lost = compared_one_by_one(units, signatures, scope, priority)
    assert {row: int(copy_of[row]) for row in range(len(domains)) if copy_of[row] >= 0} == lost
    bands, size = NEAR.bands()
    for row in range(len(domains)):
        if status[row] == KEPT:
            assert copy_of[row] == -1
            continue
        assert status[row] in (DUPLICATE, NEAR_DUPLICATE)
        assert status[copy_of[row]] == KEPT
        assert rank(int(copy_of[row])) < rank(row)
        assert scope == "corpus" or domains[row] == domains[copy_of[row]]
    kept = np.flatnonzero(status == KEPT).tolist()
    for one in kept:
        for other in kept:
            if one < other and (scope == "corpus" or domains[one] == domains[other]):
                equal = signatures[one] == signatures[other]
                share_band = any(equal[n * size : (n + 1) * size].all() for n in range(bands))
                assert not (share_band and equal.mean() >= NEAR.threshold)
