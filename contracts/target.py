"""What a mixture is wanted for: the token budget of a run, and the size of its model."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from mixscale.contracts.config import Config, TokenCount, format_tokens, parse_tokens
from mixscale.contracts.errors import UserError


def parse_parameters(value: object) -> int:
    """Read a number of parameters: a whole number, or text such as `7B` or `350M`.

    Raises:
        UserError: The value is no number of parameters.
    """
    try:
        parameters = parse_tokens(value)
    except UserError as error:
        raise UserError(
            f"{value!r} is not a number of parameters; write for example 7B or 350M"
        ) from error
    if parameters < 1:
        raise UserError(f"{value!r} is not a positive number of parameters")
    return parameters


def _read_parameters(value: object) -> object:
    return parse_parameters(value) if isinstance(value, str) else value


ParameterCount = Annotated[int, BeforeValidator(_read_parameters), Field(gt=0)]
"""The type of a settings key that holds a number of parameters; YAML may write 7B or 350M."""


class Target(Config):
    """A run to come."""

    tokens: Annotated[TokenCount, Field(gt=0)]
    """Token budget."""
    parameters: ParameterCount | None = None
    """Of the model; the size of the largest proxy runs when absent."""

    def __str__(self) -> str:
        if self.parameters is None:
            return f"{format_tokens(self.tokens)} tokens"
        return f"{format_tokens(self.tokens)} tokens, {format_tokens(self.parameters)} parameters"

    @property
    def order(self) -> tuple[int, int]:
        """What targets are sorted by: tokens, then size."""
        return self.tokens, self.parameters or 0


def read_target(value: Any) -> Any:
    """Read `300B`, `300B@7B`, a number of tokens; a mapping is left to the model.

    Raises:
        ValueError: A text that is no target.
    """
    if isinstance(value, str) and "@" in value:
        tokens, _, parameters = value.partition("@")
        return {
            "tokens": parse_tokens(tokens.strip()),
            "parameters": parse_parameters(parameters.strip()),
        }
    # Read here, that a message names the target and not a key which nobody wrote.
    if isinstance(value, str):
        value = parse_tokens(value)
    return {"tokens": value} if isinstance(value, int | float) else value


TargetOf = Annotated[Target, BeforeValidator(read_target)]
"""The type of a target in settings: `20M`, `300B@7B`, or `{tokens: 300B, parameters: 7B}`."""


def as_target(value: Target | int) -> Target:
    """A target from itself, or from a token budget."""
    return value if isinstance(value, Target) else Target(tokens=value)


def sorted_targets(values: Any) -> tuple[Target, ...]:
    """Targets in increasing order, each once."""
    targets = {target.order: target for target in map(as_target, values)}
    return tuple(targets[order] for order in sorted(targets))
