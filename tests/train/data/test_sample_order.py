"""The order of samples that makes proxy runs comparable."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixscale.train.data.sample_order import draw_order, interleave

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
