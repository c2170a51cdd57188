"""What a mixture can be measured by: name, unit and direction of each metric.

A metric is added here or, from another package, by an entry point of the group `mixscale.metrics`
that names a `Metric`. `experiment.yaml`, the command line, fits, reports and SQL know it from then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixscale.contracts.errors import UserError, unknown_name

GROUP = "mixscale.metrics"
"""Entry points that name a `Metric`."""

Floats = NDArray[np.float64]
LossFunction = Callable[[Floats, Floats], Floats]
"""(..., validation) losses in nats per token and (validation,) bits per nat, to (..., validation).

Bits per nat are the bits per byte of text of a loss of one nat per token: the domain's tokens by
byte, over ln 2. They are ones for metrics that do not ask for them.
"""


@dataclass(frozen=True, kw_only=True)
class FromLoss:
    """A metric of one validation domain as a smooth function of the loss there."""

    value: LossFunction
    slope: LossFunction
    """Derivative of `value` by the loss."""
    needs_bits_per_nat: bool = False
    """Only runs that measured bits per byte have it."""
    largest_measured_nats: float = np.inf
    """A larger measured loss is refused: it cannot be a loss in nats."""
    largest_predicted_nats: float = np.inf
    """A larger predicted loss is taken for this one, so that its metric stays finite."""
    sql: str
    """The same in DuckDB's SQL, from the columns `loss_nats` and `bits_per_byte`."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that a model is measured by, on each validation domain or task."""

    name: str
    """Lower-case letters, digits and underscores: the key in files, the column in SQL."""
    unit: str
    """For example `nats per token`; empty for a bare number."""
    meaning: str
    """A phrase for a column's description."""
    direction: Literal["lower", "higher"] = "lower"
    """Which values are better."""
    from_loss: FromLoss | None = None
    """How it follows from a validation loss; null for what has to be measured itself."""

    def __post_init__(self) -> None:
        """Check the name.

        Raises:
            UserError: It cannot be a key or a column.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise UserError(
                f"metric {self.name!r}: write its name with lower-case letters, digits and _"
            )

    @property
    def title(self) -> str:
        """Name and unit for people, as in `loss, nats per token`."""
        words = self.name.replace("_", " ")
        return words if self.unit in ("", words) else f"{words}, {self.unit}"


# Named functions, because fits can be pickled.
def _as_it_is(losses: Floats, bits_per_nat: Floats) -> Floats:
    return losses


def _one(losses: Floats, bits_per_nat: Floats) -> Floats:
    return np.ones_like(losses)


def _exp(losses: Floats, bits_per_nat: Floats) -> Floats:
    return np.exp(losses)


def _in_bits(losses: Floats, bits_per_nat: Floats) -> Floats:
    return losses * bits_per_nat


def _bits_each(losses: Floats, bits_per_nat: Floats) -> Floats:
    return np.broadcast_to(bits_per_nat, losses.shape)


LOSS = Metric(
    name="loss",
    unit="nats per token",
    meaning="mean validation cross-entropy, nats per token",
    from_loss=FromLoss(
        value=_as_it_is,
        slope=_one,
        sql="loss_nats",
    ),
)
PERPLEXITY = Metric(
    name="perplexity",
    unit="",
    meaning="exp(loss_nats)",
    from_loss=FromLoss(
        value=_exp,
        slope=_exp,
        largest_measured_nats=50.0,
        # exp(200) can still be squared.
        largest_predicted_nats=200.0,
        sql="exp(loss_nats)",
    ),
)
BITS_PER_BYTE = Metric(
    name="bits_per_byte",
    unit="bits per byte",
    meaning="validation loss in bits per UTF-8 byte of text",
    from_loss=FromLoss(
        value=_in_bits,
        slope=_bits_each,
        needs_bits_per_nat=True,
        sql="bits_per_byte",
    ),
)

_BUILT_IN = (LOSS, PERPLEXITY, BITS_PER_BYTE)


@cache
def metrics() -> Mapping[str, Metric]:
    """Give every metric by name, those of other packages last.

    Raises:
        UserError: An entry point of the group `mixscale.metrics` cannot be used.
    """
    found = {metric.name: metric for metric in _BUILT_IN}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        metric = _load(entry)
        if metric.name in found:
            raise _entry_error(entry, f"there is a metric {metric.name!r} already")
        found[metric.name] = metric
    return found


def metric_named(name: str, where: str = "metric") -> Metric:
    """Look a metric up.

    Args:
        name: Its name.
        where: The key or option that names it, for the message.

    Raises:
        UserError: There is no such metric.
    """
    known = metrics()
    if name not in known:
        raise unknown_name(where, name, known)
    return known[name]


def _load(entry: EntryPoint) -> Metric:
    try:
        metric = entry.load()
    except Exception as error:  # whatever the other package raises
        raise _entry_error(entry, f"{type(error).__name__}: {error}") from error
    if not isinstance(metric, Metric):
        raise _entry_error(entry, f"expected a Metric, found a {type(metric).__name__}")
    return metric


def _entry_error(entry: EntryPoint, problem: str) -> UserError:
    package = entry.dist.name if entry.dist else "unknown"
    return UserError(
        f"package {package}: entry point {entry.name} = {entry.value} of {GROUP}: {problem}; "
        "correct or uninstall the package"
    )


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Unit and direction of a number that a model is measured by on a task."""

    unit: str
    """`fraction`, `bits per byte`, `perplexity`, `nats`, or empty for a bare number."""
    higher_is_better: bool


_FRACTION = Measure(unit="fraction", higher_is_better=True)
_BITS = Measure(unit="bits per byte", higher_is_better=False)
_PERPLEXITY = Measure(unit="perplexity", higher_is_better=False)

MEASURES: Mapping[str, Measure] = {
    **dict.fromkeys(
        ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "acc_all", "exact_match", "f1",
         "pass_at_1", "pass_at_10", "pass_at_100", "masked_acc"), _FRACTION
    ),
    **dict.fromkeys(("bpb", "bits_per_byte"), _BITS),
    **dict.fromkeys(("ppl", "perplexity", "word_perplexity", "byte_perplexity"), _PERPLEXITY),
    **dict.fromkeys(("loss", "masked_loss"), Measure(unit="nats", higher_is_better=False)),
    # Matthews' correlation coefficient goes down to -1.
    "mcc": Measure(unit="", higher_is_better=True),
    "brier_score": Measure(unit="", higher_is_better=False),
    **dict.fromkeys(("bleu", "chrf"), Measure(unit="", higher_is_better=True)),
    "ter": Measure(unit="", higher_is_better=False),
}  # fmt: skip
"""What is known of metrics by their name, those of lm-eval among them."""


def measure_of(name: str) -> Measure | None:
    """Tell unit and direction of `metric`, `metric:task`, or None where the name says neither.

    A metric after a filter of lm-eval (`exact_match_strict_match`) is measured like the metric.
    """
    metric = name.partition(":")[0]
    if metric in MEASURES:
        return MEASURES[metric]
    known = [other for other in MEASURES if metric.startswith(f"{other}_") and other != "ter"]
    return MEASURES[max(known, key=len)] if known else None
