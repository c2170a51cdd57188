"""`experiment.yaml`: which proxy runs to try, what to optimise, for which token budgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from mixscale.contracts.config import Config, TokenCount, format_tokens, load_config
from mixscale.contracts.metrics import metrics
from mixscale.contracts.target import TargetOf

Share = Annotated[float, Field(ge=0, le=1)]
PositiveTokens = Annotated[TokenCount, Field(gt=0)]
BaseMixture = Literal["uniform", "natural"] | dict[str, Share]


def sums_to_one(mixture: BaseMixture) -> BaseMixture:
    """Validate shares by domain; a name stands for shares that sum to 1."""
    if isinstance(mixture, dict) and abs(sum(mixture.values()) - 1) > 1e-6:
        raise ValueError(f"shares sum to {sum(mixture.values()):.6g}, expected 1")
    return mixture


class AsTarget(Config):
    """Proxy runs whose domains repeat as those of a run to come."""

    as_target: PositiveTokens
    """Token budget of that run."""


def _read_repetition(value: object) -> object:
    if isinstance(value, dict | AsTarget) or value in ("none", "as_target"):
        return value
    raise ValueError(
        "expected none, as_target (the largest of `targets`), or the token budget of the run that "
        f"proxies are to repeat as: {{as_target: 300B}} (found {value!r})"
    )


Repetition = Annotated[Literal["none", "as_target"] | AsTarget, BeforeValidator(_read_repetition)]


class _DesignOfAnyType(Config):
    """What all designs have."""

    repetition: Repetition = "none"
    """`as_target`: a proxy run has of each domain's text the same part that its scale is of the
    target's tokens, so that it repeats a domain as often as the target will with its mixture
    (arXiv 2606.07597). `none`: it has all of the text."""


class DdoDesign(_DesignOfAnyType):
    """One-domain-at-a-time changes around a base, at several scales (arXiv 2407.20177, sec. 3)."""

    type: Literal["ddo"]
    scales: tuple[PositiveTokens, ...] = Field(min_length=1)
    """Token budget of the base run of each scale."""
    factor: float = Field(default=3.0, gt=1)
    """Each domain's base tokens are multiplied by this, then divided, the others unchanged."""
    changes: Literal["both", "increased", "reduced"] = "both"
    """Leave out the runs of one direction: a cheaper design, whose curves rest on two points."""
    base: BaseMixture = "uniform"
    """Base mixture: equal shares, shares by the domains' size, or shares by name."""
    noise_seeds: tuple[int, ...] = ()
    """More seeds for the runs of the smallest scale: the cheapest measure of how noisy comparisons
    between runs are. One is enough."""

    _check_base = field_validator("base")(sums_to_one)

    @field_validator("base")
    @classmethod
    def _several_domains(cls, base: BaseMixture) -> BaseMixture:
        if isinstance(base, dict):
            without = sorted(name for name, share in base.items() if not share)
            if without or len(base) < 2:
                raise ValueError(
                    f"{f'{without} have no share' if without else 'one domain alone'}: each "
                    "domain's tokens are multiplied and divided, so the base needs some of each, "
                    "of two domains or more"
                )
        return base

    @field_validator("scales")
    @classmethod
    def _increase(cls, scales: tuple[int, ...]) -> tuple[int, ...]:
        if list(scales) != sorted(set(scales)):
            raise ValueError("scales must increase, each at most once")
        return scales


class SwarmDesign(_DesignOfAnyType):
    """Random mixtures around a prior, none asking for more of a domain than there is."""

    type: Literal["swarm"]
    mixtures: int = Field(gt=0)
    scales: tuple[PositiveTokens, ...] = Field(min_length=1)
    """Token budgets; every mixture is run at each."""
    prior: BaseMixture = "uniform"
    concentration: float = Field(default=1.0, gt=0)
    """Dirichlet parameters are `concentration * domains * prior`; 1 with a uniform prior is uniform
    on the simplex."""
    sampling: Literal["dirichlet", "sobol"] = "dirichlet"
    """Independent draws, or a scrambled Sobol sequence mapped to the same distribution: it leaves
    smaller gaps, most so when `mixtures` is a power of two."""
    min_distance: float = Field(default=0.0, ge=0, lt=1)
    """The share of their tokens, at least, in which any two mixtures differ."""

    _check_prior = field_validator("prior")(sums_to_one)

    @field_validator("prior")
    @classmethod
    def _several_domains(cls, prior: BaseMixture) -> BaseMixture:
        if isinstance(prior, dict) and sum(share > 0 for share in prior.values()) < 2:
            raise ValueError("one domain alone: there is nothing to mix")
        return prior


class ExplicitDesign(_DesignOfAnyType):
    """Mixtures written out by name."""

    type: Literal["explicit"]
    mixtures: dict[str, dict[str, Share]] = Field(min_length=1)
    scales: tuple[PositiveTokens, ...] = Field(min_length=1)

    @field_validator("mixtures")
    @classmethod
    def _each_sums_to_one(
        cls, mixtures: dict[str, dict[str, float]]
    ) -> dict[str, dict[str, float]]:
        for name, mixture in mixtures.items():
            try:
                sums_to_one(mixture)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return mixtures


Design = Annotated[DdoDesign | SwarmDesign | ExplicitDesign, Field(discriminator="type")]


DEFAULT_RISK = 0.2
"""Largest chance of a loss with which a change of the mixture is advised."""
Risk = Annotated[float, Field(gt=0, le=0.5)]


class Evaluation(Config):
    """What every run is measured on."""

    tokens_per_domain: PositiveTokens = 65536
    """Validation tokens of each domain; the same samples for every run."""
    points: int = Field(default=1, ge=1)
    """Evaluations in a run, evenly spaced in tokens, the last at the end: its learning curve."""
    tasks: tuple[str, ...] = ()
    """Tasks of lm-eval that every run is asked at its end: names, groups, tags, patterns."""
    include_path: str | None = None
    """Folder with YAML files of further tasks, relative to this file."""
    limit: float | None = Field(default=None, gt=0)
    """The first so many items of each task; below 1 that share of them."""
    num_fewshot: int | None = Field(default=None, ge=0)
    """Examples before each item; what the task says when absent."""

    @model_validator(mode="after")
    def _of_tasks(self) -> Evaluation:
        given = [
            key
            for key in ("include_path", "limit", "num_fewshot")
            if getattr(self, key) is not None
        ]
        if given and not self.tasks:
            raise ValueError(f"{', '.join(given)}: for `tasks`, which are not given")
        return self


_SHORT_NAMES = {"acc": "accuracy", "bpb": "bits_per_byte", "ppl": "perplexity"}
"""What columns and tasks call metrics."""
TASK_METRICS = ("accuracy", "error", "score", "cost")
"""Metrics of tasks that follow from no validation loss: a part of right or wrong answers, a number
of which more or less is better."""


class Objective(Config):
    """The number to improve: a weighted mean over validation domains and tasks.

    Names may be patterns (`minerva_*`), and may say which metric of a task is meant
    (`acc:arc_easy`).
    """

    metric: str = "loss"
    """A name in `mixscale.contracts.metrics`, of which `loss` is in nats per token, or one of
    `TASK_METRICS`."""
    weights: dict[str, Annotated[float, Field(ge=0)]] | None = None
    """Weight of each validation domain, task or family; all equal when absent. They need not sum to
    1. What no weight names counts nothing, within families as much as the others."""
    families: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Patterns of tasks by the name of their family. The objective is then the mean of the means of
    the families, and tasks of no family do not count."""
    drop: tuple[str, ...] = ()
    """Patterns of results that are not looked at."""
    no_worse: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """By pattern, how much worse than with the mixture in use a result may get, in its own unit."""

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        metric = _SHORT_NAMES.get(metric, metric)
        known = (*metrics(), *TASK_METRICS)
        if metric not in known:
            raise ValueError(f"unknown metric; expected one of {list(known)}")
        return metric

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        if weights is not None and sum(weights.values()) <= 0:
            raise ValueError("at least one weight must be positive")
        return weights

    @field_validator("families")
    @classmethod
    def _members(cls, families: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        empty = [name for name, patterns in families.items() if not patterns]
        if empty:
            raise ValueError(f"{empty[0]}: a family needs tasks")
        return families

    @property
    def named(self) -> tuple[str, ...]:
        """Patterns of the results that the objective names."""
        families = [pattern for patterns in self.families.values() for pattern in patterns]
        weighted = [name for name in self.weights or {} if name not in self.families]
        return (*weighted, *families, *self.no_worse)


class GroupBound(Config):
    """Bounds on the summed share of some domains."""

    domains: tuple[str, ...] = Field(min_length=1)
    floor: Share = 0.0
    ceiling: Share = 1.0


class Constraints(Config):
    """Which mixtures are allowed."""

    floor: Share | dict[str, Share] | None = None
    """Smallest share of every domain, or by domain. When absent 1 %, or a fifth of an equal share
    where that is less, and never so much that another constraint could not hold."""
    ceiling: Share | dict[str, Share] = 1.0
    """Largest share of every domain, or by domain."""
    fixed: dict[str, Share] = Field(default_factory=dict)
    """Domains whose share is given."""
    max_epochs: float | None = Field(default=None, gt=0)
    """How often a domain may be repeated within a target token budget."""
    groups: dict[str, GroupBound] = Field(default_factory=dict)
    """Bounds on the summed share of several domains, by a name for messages."""
    prior: BaseMixture = "uniform"
    """The mixture that `max_kl` measures from."""
    max_kl: float | None = Field(default=None, gt=0)
    """Largest Kullback-Leibler divergence of the mixture from the prior, nats."""
    max_extrapolation: float = Field(default=1.25, ge=1)
    """How far beyond the runs the best mixture is looked for: no domain gets more than this many
    times the largest share of any run, or less than the smallest divided by it. A step ends
    near the runs, too: within as many times their extent, or their distance from each other."""

    _check_prior = field_validator("prior")(sums_to_one)

    def check_domains(self, domains: Sequence[str]) -> None:
        """Refuse bounds that no mixture of some domains can keep.

        Raises:
            ValueError: Gives the sums.
        """
        low = [self.fixed.get(name, _bound(self.floor, name, 0.0)) for name in domains]
        high = [self.fixed.get(name, _bound(self.ceiling, name, 1.0)) for name in domains]
        if sum(low) > 1 + _ROUNDING:
            raise ValueError(
                f"floors and fixed shares of the {len(domains)} domains sum to {sum(low):.6g}, "
                "more than 1"
            )
        if sum(high) < 1 - _ROUNDING:
            raise ValueError(
                f"ceilings and fixed shares of the {len(domains)} domains sum to {sum(high):.6g}, "
                "less than 1"
            )
        for name, group in self.groups.items():
            inside = [domain in group.domains for domain in domains]
            least = sum(value for value, is_in in zip(low, inside, strict=True) if is_in)
            most = sum(value for value, is_in in zip(high, inside, strict=True) if is_in)
            if group.floor > most + 1e-9 or group.ceiling < least - _ROUNDING:
                raise ValueError(
                    f"groups.{name}: {group.floor:g} to {group.ceiling:g}, but its domains' own "
                    f"bounds leave {least:.6g} to {min(most, 1):.6g}"
                )


def _bound(value: float | dict[str, float] | None, domain: str, default: float) -> float:
    if isinstance(value, dict):
        return value.get(domain, default)
    return default if value is None else value


def possible(constraints: Constraints) -> Constraints:
    """Validate that there is room between the bounds, whichever domains there are besides."""
    floor, ceiling = constraints.floor, constraints.ceiling
    names = {name for value in (floor, ceiling) if isinstance(value, dict) for name in value}
    for name in sorted(names - set(constraints.fixed)):
        _check_order(f"{name}: ", _bound(floor, name, 0.0), _bound(ceiling, name, 1.0))
    _check_order("", _bound(floor, "", 0.0), _bound(ceiling, "", 1.0))
    least = {**(floor if isinstance(floor, dict) else {}), **constraints.fixed}
    if sum(least.values()) > 1 + _ROUNDING:
        raise ValueError(f"floors and fixed shares sum to {sum(least.values()):.6g}, more than 1")
    for name, group in constraints.groups.items():
        _check_order(f"groups.{name}: ", group.floor, group.ceiling)
        twice = sorted({domain for domain in group.domains if group.domains.count(domain) > 1})
        if twice:
            raise ValueError(f"groups.{name}.domains: {twice} are there twice")
    return constraints


_ROUNDING = 1e-9


def _check_order(where: str, floor: float, ceiling: float) -> None:
    if floor > ceiling:
        raise ValueError(f"{where}the floor {floor:g} is above the ceiling {ceiling:g}")


class ModelSize(Config):
    """One size of model; keys besides these are those of `run.model`, in place of the shared."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    config_overrides: dict[str, Any] = Field(default_factory=dict)
    """Added to those of `run.model`."""
    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Learning rate; when absent that of `run` for the narrowest size, divided by the width."""
    init: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Standard deviation of the initial weights; when absent that of `run` for the narrowest size,
    divided by the square root of the width."""
    scales: tuple[PositiveTokens, ...] | None = Field(default=None, min_length=1)
    """Those of the design's scales that this size is run at; all when absent."""

    @property
    def model_keys(self) -> dict[str, Any]:
        """The keys of `run.model`."""
        return {**(self.model_extra or {}), "config_overrides": self.config_overrides}


class Experiment(Config):
    """A sweep of proxy runs with the question it answers."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    shardset: str
    """Folder of the shard set, relative to this file."""
    out: str | None = None
    """Folder that gets `runs/`, `sweeps/` and `fits/`; the shard set's own folder when absent."""
    design: Design
    seeds: tuple[int, ...] = Field(default=(17,), min_length=1)
    """Every run of the design is repeated with each seed."""
    order_seed: int | None = None
    """Seed of the order of samples; that of the run when absent. Set, `seeds` change the
    initialisation alone."""
    evaluation: Evaluation = Evaluation()
    objective: Objective = Objective()
    constraints: Annotated[Constraints, AfterValidator(possible)] = Constraints()
    fit_checkpoints: bool = False
    """Whether laws are fitted to the evaluations during runs (`evaluation.points`) too, as to
    checkpoints, which count less the earlier they are. A checkpoint is no run that ends there: its
    learning rate has not come down."""
    risk: Risk = DEFAULT_RISK
    """Largest chance of a loss with which a change of the mixture is advised, up to 0.5."""
    targets: tuple[TargetOf, ...] = Field(min_length=1)
    """Runs to project the mixture to: token budgets, with the size of the model or without."""
    max_proxy_epochs: float = Field(default=4.0, gt=0)
    """How often a proxy run may repeat a domain. Repeats up to about 4 epochs cost little
    (Muennighoff et al., arXiv 2305.16264). Without effect where `design.repetition` asks for the
    repeats of the target."""
    price_per_hour: float | None = Field(default=None, gt=0)
    """What an hour costs, of a GPU or of a machine without one: `plan` then says what the runs
    cost, in the same unit."""
    run: dict[str, Any] = Field(default_factory=dict)
    """Keys of `run.yaml` that all runs share: model, optimizer, scheduler, batch size and so on."""
    models: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*$")], ModelSize] = Field(
        default_factory=dict
    )
    """Sizes of model by name; every run of the design is done with each."""

    @model_validator(mode="after")
    def _distinct(self) -> Experiment:
        for key, values in (("seeds", self.seeds), ("targets", self.targets)):
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: the same value twice")
        if isinstance(self.design, DdoDesign) and set(self.design.noise_seeds) & set(self.seeds):
            raise ValueError("design.noise_seeds: these are in `seeds` already")
        self._check_repetition()
        for name, size in self.models.items():
            unknown = sorted(set(size.scales or ()) - set(self.design.scales))
            if unknown:
                raise ValueError(
                    f"models.{name}.scales: {unknown} are no scales of the design; it has "
                    f"{list(self.design.scales)}"
                )
        return self

    def _check_repetition(self) -> None:
        target = self.repeated_tokens
        beyond = [scale for scale in self.design.scales if target is not None and scale > target]
        if beyond:
            raise ValueError(
                f"design.scales: {format_tokens(max(beyond))} tokens are more than the "
                f"{format_tokens(target or 0)} of the target whose repetition the proxies are to "
                "have; lower the scales, or give a larger one: repetition: {as_target: TOKENS}"
            )

    @property
    def repeated_tokens(self) -> int | None:
        """Token budget of the run that proxies repeat as; None when each has all of the text."""
        repetition = self.design.repetition
        if isinstance(repetition, AsTarget):
            return repetition.as_target
        return None if repetition == "none" else max(target.tokens for target in self.targets)


def read_experiment(path: str | Path) -> Experiment:
    """Read `experiment.yaml`; its folders come back absolute.

    Raises:
        UserError: The file is missing or wrong; the message names line and key.
    """
    experiment = load_config(path, Experiment)
    folder = Path(path).resolve().parent
    shardset = (folder / experiment.shardset).resolve()
    out = shardset if experiment.out is None else (folder / experiment.out).resolve()
    evaluation = experiment.evaluation
    if evaluation.include_path is not None:
        path = str((folder / evaluation.include_path).resolve())
        evaluation = evaluation.model_copy(update={"include_path": path})
    return experiment.model_copy(
        update={"shardset": str(shardset), "out": str(out), "evaluation": evaluation}
    )
