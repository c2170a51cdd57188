"""Token budgets as people write them."""

from __future__ import annotations

from mixscale.contracts.config import parse_tokens
from mixscale.contracts.errors import UserError

TokenBudget = int | float | str
"""A number of tokens: 300_000_000_000, 3e11 or "300B"."""


def read_budget(value: object, name: str = "tokens") -> int:
    """Read a token budget.

    Args:
        value: A number, or text such as `300B`, `1.2M`, `50k`.
        name: What it is called, for messages.

    Raises:
        UserError: It is no positive whole number of tokens.
    """
    try:
        tokens = parse_tokens(value)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    if isinstance(tokens, bool) or not isinstance(tokens, int | float):
        raise UserError(f"{name}: {value!r} is not a number of tokens")
    if tokens <= 0 or tokens != round(tokens):
        raise UserError(f"{name}: {value!r} is not a positive whole number of tokens")
    return round(tokens)
