"""The order of samples that makes proxy runs comparable."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.train.data.sample_order import draw_order, draw_pool, interleave

SEEDS = st.integers(0, 2**32 - 1)


@given(available=st.integers(1, 60), chosen=st.integers(0, 200), seed=SEEDS)
def test_no_sample_repeats_before_all_were_seen(available: int, chosen: int, seed: int) -> None:
    drawn = draw_order("code", available, chosen, seed, epoch=0)
    assert len(drawn) == chosen
    counts = np.bincount(drawn, minlength=available)
    assert counts.max() - counts.min() <= 1


@given(available=st.integers(1, 60), few=st.integers(0, 90), more=st.integers(0, 90), seed=SEEDS)
def test_a_larger_amount_starts_with_the_smaller_one(
    available: int, few: int, more: int, seed: int
) -> None:
    long = draw_order("code", available, few + more, seed, epoch=0)
    np.testing.assert_array_equal(long[:few], draw_order("code", available, few, seed, epoch=0))


@given(counts=st.lists(st.integers(0, 80), min_size=1, max_size=6), seed=SEEDS)
def test_proportions_hold_at_every_moment(counts: list[int], seed: int) -> None:
    domains = [f"domain{number}" for number in range(len(counts))]
    order = interleave(domains, counts, seed, epoch=0)
    assert sorted(order) == list(range(sum(counts)))
    if not sum(counts):
        return
    owner = np.repeat(np.arange(len(counts)), counts)[order]
    moments = np.arange(1, len(order) + 1) / len(order)
    for domain, count in enumerate(counts):
        seen = np.cumsum(owner == domain)
        # Each domain is within a sample of its own clock; the clocks of all shift the total.
        assert np.abs(seen - moments * count).max() <= len(counts) + 1


def test_the_order_of_a_domain_does_not_depend_on_the_others() -> None:
    alone = interleave(["code"], [30], seed=3, epoch=0)
    mixed = interleave(["prose", "code"], [50, 30], seed=3, epoch=0)
    np.testing.assert_array_equal(mixed[mixed >= 50] - 50, alone)


def test_seed_epoch_and_domain_each_change_the_order() -> None:
    base = draw_order("code", 50, 50, seed=1, epoch=0).tolist()
    assert draw_order("code", 50, 50, seed=2, epoch=0).tolist() != base
    assert draw_order("code", 50, 50, seed=1, epoch=1).tolist() != base
    assert draw_order("prose", 50, 50, seed=1, epoch=0).tolist() != base


@given(available=st.integers(1, 300), parts=st.lists(st.floats(0.01, 1), min_size=2), seed=SEEDS)
def test_a_smaller_pool_is_part_of_a_larger_one(
    available: int, parts: list[float], seed: int
) -> None:
    sizes = sorted(max(1, round(part * available)) for part in parts)
    pools = [draw_pool("code", available, size, seed).tolist() for size in sizes]
    for size, pool in zip(sizes, pools, strict=True):
        assert len(set(pool)) == size
        assert set(pool) <= set(range(available))
    for smaller, larger in itertools.pairwise(pools):
        assert set(smaller) <= set(larger)


def test_the_whole_text_is_its_own_pool() -> None:
    assert draw_pool("code", 7, 7, seed=5).tolist() == list(range(7))


def test_every_sample_has_the_same_chance_to_be_in_a_pool() -> None:
    counts = np.zeros(100)
    for seed in range(500):
        counts[draw_pool("code", 100, 20, seed)] += 1
    # Binomial with mean 100 and deviation 9: five deviations either way.
    assert np.abs(counts - 100).max() < 45
    neighbours = [
        np.isin(draw_pool("code", 100, 20, seed), draw_pool("prose", 100, 20, seed)).sum()
        for seed in range(500)
    ]
    assert np.mean(neighbours) == pytest.approx(4, abs=0.5)


@given(available=st.integers(2, 200), added=st.integers(1, 50), seed=SEEDS)
def test_samples_that_are_added_push_out_but_never_bring_in_old_ones(
    available: int, added: int, seed: int
) -> None:
    size = -(-available // 2)
    before = set(draw_pool("code", available, size, seed).tolist())
    after = set(draw_pool("code", available + added, size, seed).tolist())
    assert {sample for sample in after if sample < available} <= before
