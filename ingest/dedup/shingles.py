"""Texts as sets of hashed word n-grams, for comparing how much they share."""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

_BETWEEN, _LETTER, _ALONE = range(3)
# Scripts that put no space between words: each of their characters counts as a word.
_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_BASE, _STEP = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


def shingle_hashes(texts: Sequence[str], words: int) -> tuple[Hashes, Ints]:
    """Hash every run of so many words of each text, whatever its case and what stands between.

    A text of fewer words is one run; a text without words has none.

    Args:
        texts: At least one.
        words: Length of a run.

    Returns:
        The hashes of all texts in one array, and (texts + 1,) where those of each begin and end.
    """
    lowered = [text.lower() for text in texts]
    ends = np.cumsum([len(text) for text in lowered])
    codes = np.frombuffer("".join(lowered).encode("utf-32-le"), "<u4")
    hashes, places = _word_hashes(codes, ends)
    owners = np.searchsorted(ends, places, side="right")
    counts = np.bincount(owners, minlength=len(texts))
    runs, run_owners = _runs(hashes, owners, counts, words)
    order = np.argsort(run_owners, kind="stable")
    sizes = np.bincount(run_owners, minlength=len(texts))
    return runs[order], np.concatenate([[0], np.cumsum(sizes)])


def _word_hashes(codes: NDArray[np.uint32], ends: Ints) -> tuple[Hashes, Ints]:
    """Hash each word, and find the place of its first character."""
    kinds = _kinds()[codes]
    before = np.concatenate([[_BETWEEN], kinds[:-1]]) if len(kinds) else kinds
    before[ends[:-1][ends[:-1] < len(kinds)]] = _BETWEEN
    starts = (kinds == _ALONE) | ((kinds == _LETTER) & (before != _LETTER))
    inside = np.flatnonzero(kinds != _BETWEEN)
    firsts = np.flatnonzero(starts[inside])
    if not len(firsts):
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    lengths = np.diff(firsts, append=len(inside))
    return _hash_runs(codes[inside].astype(np.uint64), firsts, lengths, _BASE), inside[firsts]


def _runs(hashes: Hashes, owners: Ints, counts: Ints, words: int) -> tuple[Hashes, Ints]:
    """Hash all runs of words inside one text, and the whole of texts that are shorter than one."""
    last = len(hashes) - words + 1
    is_inside = owners[: max(last, 0)] == owners[words - 1 :]
    joined = np.zeros(max(last, 0), np.uint64)
    for number, power in enumerate(_powers(_STEP, words)):
        joined += hashes[number : number + len(joined)] * power
    firsts = np.cumsum(counts) - counts
    short = np.flatnonzero((counts > 0) & (counts < words))
    chosen = np.repeat((counts > 0) & (counts < words), counts)
    starts = np.cumsum(counts[short]) - counts[short]
    whole = _hash_runs(hashes[chosen], starts, counts[short], _STEP) if len(short) else hashes[:0]
    owners_of_runs = np.concatenate([owners[: len(joined)][is_inside], owners[firsts[short]]])
    return np.concatenate([_mixed(joined[is_inside]), whole]), owners_of_runs


def _hash_runs(values: Hashes, firsts: Ints, lengths: Ints, base: np.uint64) -> Hashes:
    """Hash runs of values as polynomials modulo 2**64, the first value in the lowest place."""
    places = np.arange(len(values)) - np.repeat(firsts, lengths)
    terms = values * _powers(base, int(lengths.max()))[places]
    return _mixed(np.add.reduceat(terms, firsts))


def _powers(base: np.uint64, count: int) -> Hashes:
    powers = np.full(count, base)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def _mixed(values: Hashes) -> Hashes:
    """Spread every bit over all others (the finalizer of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@functools.lru_cache(maxsize=1)
def _kinds() -> NDArray[Any]:
    """Say for every code point whether words contain it."""
    letters = (unicodedata.category(chr(code))[0] in "LMN" for code in range(sys.maxunicode + 1))
    kinds = np.fromiter(letters, np.uint8, sys.maxunicode + 1) * np.uint8(_LETTER)
    for first, last in _WITHOUT_SPACES:
        kinds[first : last + 1] *= np.uint8(_ALONE)
    return kinds
