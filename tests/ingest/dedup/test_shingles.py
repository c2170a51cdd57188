import re

from hypothesis import given
from hypothesis import strategies as st

from mixscale.ingest.dedup.shingles import shingle_hashes

TEXT = st.text(st.sampled_from("abcÄß ,.\n0"), max_size=40)


def runs(text: str, words: int) -> set[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    if not found:
        return set()
    return {tuple(found[n : n + words]) for n in range(max(1, len(found) - words + 1))}


def hashed(texts: list[str], words: int) -> list[set[int]]:
    hashes, offsets = shingle_hashes(texts, words)
    parts = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    return [set(hashes[first:last].tolist()) for first, last in parts]


@given(st.lists(TEXT, min_size=1, max_size=6), st.integers(1, 4))
def test_hashes_stand_for_the_runs_of_words(texts: list[str], words: int) -> None:
    found = hashed(texts, words)
    expected = [runs(text, words) for text in texts]
    for mine, theirs in zip(found, expected, strict=True):
        for other, its_runs in zip(found, expected, strict=True):
            assert len(mine & other) == len(theirs & its_runs)
            assert len(mine | other) == len(theirs | its_runs)


@given(st.lists(TEXT, min_size=2, max_size=6))
def test_a_text_is_hashed_alone(texts: list[str]) -> None:
    assert hashed(texts, 3) == [hashed([text], 3)[0] for text in texts]


def test_case_and_what_stands_between_do_not_count() -> None:
    one, other = hashed(["Hello, World! It-s me.", "hello\n\nworld — IT s ME"], 3)
    assert one == other


def test_scripts_without_spaces_have_a_word_for_each_character() -> None:
    chinese, nothing = hashed(["人人生而自由。", "?! …"], 2)
    assert len(chinese) == 5
    assert nothing == set()
