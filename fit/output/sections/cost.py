"""What the proxy runs cost."""

from __future__ import annotations

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord
from mixscale.fit.output.advised import advised
from mixscale.fit.output.next_steps import duration
from mixscale.pages.elements import Html
from mixscale.pages.frame import section
from mixscale.pages.glossary import term
from mixscale.pages.rounding import number
from mixscale.pages.tables import facts


def cost(record: FitRecord) -> Html | None:
    """Say how many runs, tokens and hours, and what part of the run to come that is."""
    spent = record.cost
    pairs: list[tuple[object, object]] = [(term("proxy run", "proxy runs"), str(spent.runs))]
    if spent.tokens is not None:
        pairs.append(("tokens", f"{format_tokens(spent.tokens)}{_part(record)}"))
    if record.model_sizes:
        counted = f" ({record.parameters_are})" if record.parameters_are else ""
        sizes = ", ".join(format_tokens(size) for size in record.model_sizes)
        pairs.append(("models", f"{sizes} parameters{counted}"))
    if spent.device_seconds:
        times = [
            f"{duration(s)} on {device or 'unknown'}" for device, s in spent.device_seconds.items()
        ]
        pairs.append(("time", ", ".join(times)))
    elif spent.seconds is not None:
        pairs.append(("time", f"{duration(spent.seconds)} of training and evaluation"))
    else:
        pairs.append(("time", "not known: the tables do not tell"))
    return section("What the proxy runs cost", facts(pairs))


def _part(record: FitRecord) -> str:
    found = advised(record).mixture
    if found.kind != "projected" or not found.token_budget or not record.cost.tokens:
        return ""
    part = record.cost.tokens / found.token_budget
    to_come = f"the {format_tokens(found.token_budget)} to come"
    if part > 1:
        return f", {number(part, digits=2)} times {to_come}"
    return f", {number(100 * part, digits=2)} % of {to_come}"
