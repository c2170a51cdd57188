"""Shares as short decimals whose floats sum to exactly 1."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping

from mixscale.contracts.errors import UserError

_MOST_SHIFTS, _SHUFFLES = 300, 300


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
        for candidate in itertools.chain(
            [units], itertools.islice(_shifts(units), _MOST_SHIFTS), _shuffles(units)
        ):
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


def _shifts(units: list[int]) -> Iterator[list[int]]:
    """Every shift of one unit between two domains that have some."""
    # Large shares first: a unit matters least there, and small ones often sit at a bound.
    some = sorted((i for i, unit in enumerate(units) if unit > 1), key=lambda i: -units[i])
    for giver, taker in itertools.permutations(some, 2):
        moved = list(units)
        moved[giver] -= 1
        moved[taker] += 1
        yield moved


def _shuffles(units: list[int]) -> Iterator[list[int]]:
    """Shifts of single units between many domains.

    A hundred equal shares add up to the same wrong sum wherever one unit is moved.
    """
    some = [i for i, unit in enumerate(units) if unit > 2]
    rng = random.Random(0)
    for _ in range(_SHUFFLES if len(some) > 3 else 0):
        rng.shuffle(some)
        half = rng.randrange(1, len(some) // 2 + 1)
        moved = list(units)
        for giver, taker in zip(some[:half], some[half : 2 * half], strict=True):
            moved[giver] -= 1
            moved[taker] += 1
        yield moved


def _decimal(units: int, places: int) -> str:
    digits = f"{units:0{places + 1}d}"
    whole, fraction = digits[:-places], digits[-places:].rstrip("0")
    return f"{whole}.{fraction or '0'}"
