"""Shares as short decimals whose floats sum to exactly 1."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from contracts.errors import UserError


def exact_shares(proportions: Mapping[str, float], digits: int = 6) -> dict[str, str]:
    """Round shares to decimals that sum to exactly 1, as decimals and as parsed floats.

    Largest remainders decide the rounding. Decimals that sum to 1 can miss it by one unit in the
    last place as floats; then the last digits of two domains are shifted, or more digits taken,
    until the floats' sum in this order, and the exactly rounded sum, are 1.

    Args:
        proportions: By name, none negative; they are divided by their sum.
        digits: Decimals to start with.

    Raises:
        UserError: The proportions do not sum to about 1, or one is negative or no number.
    """
    values = list(proportions.values())
    total = math.fsum(values)
    if not all(value >= 0 for value in values) or not math.isclose(total, 1, abs_tol=1e-4):
        raise UserError(f"proportions must be 0 or more and sum to 1; found {dict(proportions)}")
    for places in range(digits, 17):
        units = _largest_remainders([value / total for value in values], 10**places)
        for candidate in _neighbours(units):
            texts = [_decimal(unit, places) for unit in candidate]
            floats = [float(text) for text in texts]
            if sum(floats) == 1.0 and math.fsum(floats) == 1.0:
                return dict(zip(proportions, texts, strict=True))
    raise AssertionError(f"no decimals of {values} sum to 1")


def _largest_remainders(shares: list[float], units: int) -> list[int]:
    """Whole units for each share, summing to `units`."""
    whole = [math.floor(share * units) for share in shares]
    order = sorted(range(len(shares)), key=lambda i: whole[i] - shares[i] * units)
    for i in itertools.islice(itertools.cycle(order), units - sum(whole)):
        whole[i] += 1
    return whole


def _neighbours(units: list[int]) -> itertools.chain[list[int]]:
    """The rounding, then every shift of one unit between two domains that have some."""

    def shifted(giver: int, taker: int) -> list[int]:
        moved = list(units)
        moved[giver] -= 1
        moved[taker] += 1
        return moved

    # Large shares first: a unit matters least there, and small ones often sit at a bound.
    some = sorted((i for i, unit in enumerate(units) if unit > 1), key=lambda i: -units[i])
    shifts = (shifted(giver, taker) for giver, taker in itertools.permutations(some, 2))
    return itertools.chain([units], shifts)


def _decimal(units: int, places: int) -> str:
    digits = f"{units:0{places + 1}d}"
    whole, fraction = digits[:-places], digits[-places:].rstrip("0")
    return f"{whole}.{fraction or '0'}"
