"""What is asked of two tables, beyond what they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, field_validator

from mixscale.contracts.config import (
    Config,
    load_config,
    parse_tokens,
    plain,
    read_yaml,
    validate,
)
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import (
    DEFAULT_RISK,
    BaseMixture,
    Constraints,
    Objective,
    PositiveTokens,
    Risk,
    sums_to_one,
)
from mixscale.contracts.target import TargetOf
from mixscale.fit.inputs.columns import Choice
from mixscale.fit.inputs.weights_table import read_weights

Value = TypeVar("Value")


class TableSettings(Config):
    """The question; its keys are those of `experiment.yaml` where that has them."""

    objective: Objective = Objective()
    constraints: Constraints = Constraints()
    targets: tuple[TargetOf, ...] = ()
    """Runs to project the mixture to: `20M`, `300B@7B`, `{tokens: 300B, parameters: 7B}`."""
    current: BaseMixture = "uniform"
    """The mixture in use, which gains are over."""
    risk: Risk = DEFAULT_RISK
    """Largest chance of a loss with which a change of the mixture is advised."""
    available_tokens: dict[str, PositiveTokens] = Field(default_factory=dict)
    """Training tokens that exist of each domain."""
    run_tokens: PositiveTokens | None = None
    """Tokens of every run, where the tables do not tell them."""
    domains: tuple[str, ...] = ()
    """Patterns of the columns with domains' shares, where their names do not tell."""
    results: tuple[str, ...] = ()
    """Patterns of the columns with losses, likewise."""
    key: str | None = None
    """The column that names the run in both tables, likewise."""
    size: str | None = None
    """The column with the model's parameters, where several have them."""
    tokens_per_step: PositiveTokens | None = None
    """Tokens of a training step, where tables have steps alone."""
    keep_early: bool = False
    """Whether to fit to the first checkpoints of runs too, which lie off every power law."""
    higher_is_better: tuple[str, ...] = ()
    """Patterns of results of which more is better, where their names do not tell."""
    lower_is_better: tuple[str, ...] = ()
    """Patterns of results of which less is better, likewise."""

    @property
    def choice(self) -> Choice:
        """Which column is what."""
        return Choice(
            domains=self.domains,
            results=self.results,
            key=self.key,
            size=self.size,
            tokens_per_step=self.tokens_per_step,
            keep_early=self.keep_early,
            higher=self.higher_is_better,
            lower=self.lower_is_better,
            drop=self.objective.drop,
            named=self.objective.named,
            metric=self.objective.metric if "metric" in self.objective.model_fields_set else None,
        )

    _check_current = field_validator("current")(sums_to_one)


class _Families(Config):
    """A YAML file of families."""

    families: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The same as text, from a command line; every option wins over the file."""

    objective: str | None = None
    weight: Sequence[str] = ()
    floor: Sequence[str] = ()
    """Each a share for every domain, or `DOMAIN=SHARE`."""
    ceiling: Sequence[str] = ()
    fix: Sequence[str] = ()
    max_epochs: float | None = None
    prior: str | None = None
    max_kl: float | None = None
    max_extrapolation: float | None = None
    available: Sequence[str] = ()
    current: str | None = None
    risk: float | None = None
    targets: str | None = None
    tokens: int | None = None
    domains: Sequence[str] = ()
    results: Sequence[str] = ()
    key: str | None = None
    size: str | None = None
    tokens_per_step: int | None = None
    keep_early: bool = False
    weights: Path | None = None
    """A table with a weight for each validation domain."""
    higher_is_better: Sequence[str] = ()
    lower_is_better: Sequence[str] = ()
    family: Sequence[str] = ()
    """Each `NAME=PATTERN,PATTERN`."""
    families: Path | None = None
    """YAML with a list of patterns for each family."""
    drop: Sequence[str] = ()
    no_worse: Sequence[str] = ()
    """Each `PATTERN=AMOUNT`, or an amount for every result."""


def column_choice(file: Path | None, options: Options) -> Choice:
    """Which column of a table of mixtures is what, from a settings file and options.

    Raises:
        UserError: The file cannot be read.
    """
    base = TableSettings() if file is None else load_config(file, TableSettings)
    return Choice(
        domains=tuple(options.domains) or base.domains,
        results=tuple(options.results) or base.results,
        key=options.key or base.key,
        size=options.size or base.size,
        tokens_per_step=options.tokens_per_step or base.tokens_per_step,
        keep_early=options.keep_early or base.keep_early,
    )


def table_settings(file: Path | None, options: Options, domains: Sequence[str]) -> TableSettings:
    """Put a settings file and options together.

    Args:
        file: YAML with the keys of `TableSettings`; none needed.
        options: What is given beside it.
        domains: Training domains, for shares that hold for all of them.

    Raises:
        UserError: A value that cannot be read, with the option or the line that holds it.
    """
    base = TableSettings() if file is None else load_config(file, TableSettings)
    values = base.model_dump(exclude_unset=True)
    constraints = dict(values.get("constraints", {}))
    for key, texts, default in (
        ("floor", options.floor, 0.0),
        ("ceiling", options.ceiling, 1.0),
    ):
        if texts:
            constraints[key] = _by_domain(texts, f"--{key}", domains, default)
    if options.fix:
        constraints["fixed"] = _pairs(options.fix, "--fix", float)
    plain = {
        "max_epochs": options.max_epochs,
        "max_kl": options.max_kl,
        "max_extrapolation": options.max_extrapolation,
    }
    constraints |= {key: value for key, value in plain.items() if value is not None}
    if options.prior is not None:
        constraints["prior"] = _mixture(options.prior, "--prior")
    values["constraints"] = constraints
    values |= _question(options, dict(values.get("objective", {})))
    settings = validate(values, TableSettings, "options" if file is None else str(file))
    unknown = sorted(set(settings.available_tokens) - set(domains))
    if unknown:
        raise UserError(
            f"available tokens: {unknown} are not training domains; they are {list(domains)}"
        )
    return settings


def _question(options: Options, objective: dict[str, Any]) -> dict[str, Any]:
    """Everything but the constraints."""
    values: dict[str, Any] = {}
    if options.objective is not None:
        objective["metric"] = options.objective
    if options.weights is not None:
        objective["weights"] = read_weights(options.weights)
    if options.weight:
        objective["weights"] = _pairs(options.weight, "--weight", float)
    families = _families(options)
    if families:
        objective["families"] = families
    if options.drop:
        objective["drop"] = tuple(options.drop)
    if options.no_worse:
        objective["no_worse"] = _limits(options.no_worse)
    values["objective"] = objective
    if options.available:
        values["available_tokens"] = _pairs(options.available, "--available", parse_tokens)
    if options.current is not None:
        values["current"] = _mixture(options.current, "--current")
    if options.risk is not None:
        values["risk"] = options.risk
    if options.targets is not None:
        values["targets"] = _targets(options.targets)
    if options.tokens is not None:
        values["run_tokens"] = options.tokens
    columns = {
        "domains": options.domains,
        "results": options.results,
        "key": options.key,
        "size": options.size,
        "tokens_per_step": options.tokens_per_step,
        "keep_early": options.keep_early,
        "higher_is_better": options.higher_is_better,
        "lower_is_better": options.lower_is_better,
    }
    values |= {name: value for name, value in columns.items() if value}
    return values


def _families(options: Options) -> dict[str, tuple[str, ...]]:
    """Families of tasks from a file and from options, which win."""
    families: dict[str, tuple[str, ...]] = {}
    if options.families is not None:
        document = read_yaml(options.families)
        values = plain(document)
        whole = values if "families" in values else {"families": values}
        families |= validate(whole, _Families, str(options.families), document).families
    for text in options.family:
        name, separator, patterns = text.partition("=")
        members = tuple(part.strip() for part in patterns.split(",") if part.strip())
        if not (name.strip() and separator and members):
            raise UserError(f"--family {text}: write NAME=PATTERN,PATTERN")
        families[name.strip()] = members
    return families


def _limits(texts: Sequence[str]) -> dict[str, float]:
    """How much worse results may get, by pattern."""
    limits: dict[str, float] = {}
    for text in texts:
        pattern, separator, amount = text.strip().rpartition("=")
        wanted = "an amount such as 0.01, or PATTERN=0.01"
        limits[pattern if separator else "*"] = _read(amount, f"--no-worse {text}", float, wanted)
    return limits


def _by_domain(
    texts: Sequence[str], option: str, domains: Sequence[str], default: float
) -> float | dict[str, float]:
    """One share for all domains, or shares by domain with what the others get."""
    named = [text for text in texts if "=" in text]
    for text in texts:
        if "=" not in text:
            default = _read(text, option, float, "a share such as 0.05, or DOMAIN=SHARE")
    if not named:
        return default
    return dict.fromkeys(domains, default) | _pairs(named, option, float)


def _mixture(text: str, option: str) -> str | dict[str, float]:
    """A name, or shares by domain separated by commas."""
    return _pairs(text.split(","), option, float) if "=" in text else text


def _pairs(texts: Sequence[str], option: str, read: Callable[[str], Any]) -> dict[str, Any]:
    pairs = {}
    for text in texts:
        name, separator, value = text.strip().rpartition("=")
        if not (name and separator):
            raise UserError(f"{option} {text}: write NAME=VALUE")
        pairs[name] = _read(value, f"{option} {name}", read, "a number after =")
    return pairs


def _read(text: str, where: str, read: Callable[[str], Value], wanted: str) -> Value:
    try:
        return read(text)
    except ValueError as error:
        raise UserError(f"{where}: {text!r} cannot be read; write {wanted}") from error


def _targets(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and "000" in parts[1:]:
        raise UserError(
            f"--targets {text}: a comma separates targets; write thousands without it, "
            f"{text.replace(',', '')} or 1B"
        )
    return parts
