"""`fits/<fit_id>/fit.json`: what a fit found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field

from mixscale.contracts.atomic import write_json
from mixscale.contracts.config import Config, Count, read_json, validate
from mixscale.contracts.experiment import Constraints, Objective

FIT = "fit.json"
Interval = tuple[float, float]


class Gain(Config):
    """How much lower the objective is predicted to get than with another mixture."""

    over: str
    """`current` (the mixture in use), `uniform` or `natural` (shares by available tokens). Where a
    constraint forbids the current one, `nearest allowed`: what is allowed and nearest to it."""
    proportions: dict[str, float]
    """Of that mixture, moved into what the constraints allow."""
    gain: float
    """Less the optimism of a mixture chosen by the same noisy runs."""
    interval: Interval | None
    """90 %."""


Action = Literal["change", "keep what you have", "take the nearest allowed mixture"]
"""What a decision comes to. The last one: a constraint forbids the mixture in use, and the runs do
not show a better one than the allowed mixture nearest to it."""


class Recommendation(Config):
    """What to do."""

    action: Action
    reason: str
    token_budget: Count | None = None
    """Of the run that the decision is for."""
    decided_at: Count | None = None
    """The token budget that the gain is predicted at: `token_budget` itself where a law reaches it,
    else the largest measured scale that decides."""
    predicted_by: str | None = None
    """The law that predicts the gain."""
    current: dict[str, float] | None = None
    """The mixture in use: the one the design starts from, or uniform."""
    over: Literal["current", "nearest allowed"] = "current"
    """What the gain is over, see `Gain.over`."""
    step_size: float = Field(
        default=1.0, ge=0, le=1, validation_alias=AliasChoices("step_size", "part")
    )
    """How far to go from the current mixture towards the mean of the redrawn optima."""
    gain: float | None = None
    """Predicted gain of the step that was weighed, taken or not."""
    interval: Interval | None = None
    """90 %."""
    harm: float | None = None
    """Chance that the step is a loss."""
    risk: float | None = None
    """The largest such chance with which a change is advised; 0.05 in earlier versions."""
    second_law: str | None = None
    """Another law, fitted to the same runs, that was asked too."""
    second_gain: float | None = None
    """What it predicts for the same step."""
    optimism: float | None = None
    """What the choice by noisy runs adds to the optimum's predicted gain; taken off the gains."""


class Movement(Config):
    """Parts of the tokens that go to other domains than at the largest measured scale, 0 to 1."""

    tokens: float
    """For the larger budget: the measured trend, and what the constraints ask for there."""
    repeats: float
    """Since domains run out of text that was not read before."""
    size: float
    """Since the model has another size."""


class Mixture(Config):
    """The best allowed mixture for one run: a token budget, and the size of a model."""

    kind: Literal["measured", "projected"]
    """`measured`: the optimum of a law fitted to runs of this budget; `projected`: of others."""
    token_budget: Count | None
    """Tokens; null for tables that do not say how many tokens the runs saw."""
    parameters: Count | None = None
    """Of the model that is trained on it; null where no size is known."""
    size_given: bool = True
    """Whether that size was asked for; else it is that of the largest runs."""
    moved: Movement | None = None
    """How far `proportions` are from the optimum of the largest measured scale; null for it."""
    proportions: dict[str, float]
    """Share of tokens by domain, summing to 1."""
    quantities: dict[str, int] | None
    """Tokens by domain."""
    intervals: dict[str, Interval] | None
    """90 % interval of each share."""
    average: dict[str, float] | None = None
    """Mean of the optima of redrawn experiments, which the recommended mixture leans on."""
    recommended: dict[str, float] | None = None
    """What to train on: the current mixture, or a step from it as long as the evidence allows."""
    recommended_gain: float | None = None
    """Predicted gain of `recommended` over the current mixture, or the allowed one nearest to it;
    0 where it is that mixture. At the budget `decision.decided_at`: this one, if a law reaches it.
    """
    recommended_interval: Interval | None = None
    """90 %."""
    tokens_saved: float | None = None
    """Part of the tokens that `recommended` needs fewer to be as good as the mixture in use; null
    where no law tells what tokens are worth."""
    tokens_saved_interval: Interval | None = None
    """90 %, from that of `recommended_gain`."""
    decision: Recommendation | None = None
    """Whether to change the mixture for a run of this budget, and why."""
    predicted_objective: float | None
    """Of `proportions`; null where no law can tell."""
    objective_interval: Interval | None = None
    """90 % interval of the prediction."""
    predicted_by: str | None = None
    """The law that predicts the objective at this budget."""
    gains: tuple[Gain, ...] = ()
    """Over other mixtures at this budget."""
    binding: dict[str, str]
    """Domains at a bound: `floor`, `ceiling`, `fixed`, `max_epochs`; `no measurable response` for
    a domain left at its floor because its tokens do not measurably help; `too noisy to tell` for
    one that keeps its share because the runs cannot say."""


class Point(Config):
    """A measured mean around the base run."""

    x: float
    """Tokens of the domain as a multiple of the base run's."""
    y: float
    """Objective as a multiple of the base run's."""
    noise: float | None
    """Standard deviation of y."""


class Response(Config):
    """How the objective answers to one domain, the others at their base tokens."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None
    """90 % interval of y."""
    high: tuple[float, ...] | None
    points: tuple[Point, ...]
    responds: bool


class Signal(Config):
    """The differences between the runs of one scale beside their noise, in units of the objective.

    Root mean squares without what the noise adds to them; the runs of one mixture are averaged.
    """

    change: float | None
    """A run against the base run of the same seed; null without a base run."""
    between: float
    """Two changes in the same direction, of different domains; two mixtures without a base run."""
    noise: float
    """Standard deviation of one such difference."""
    runs_each: float = Field(gt=0)
    """Runs of one mixture, on average: the number of seeds."""

    @property
    def ratio(self) -> float:
        """How many times the noise the differences are that tell domains apart."""
        return self.between / self.noise


class Scale(Config):
    """What the runs of one scale say."""

    scale_tokens: int | None
    runs: int
    base_objective: float | None
    parameters: dict[str, Any]
    """The law's; its layout differs by law."""
    residual_rms: float | None
    """Root mean square of measured minus fitted objective."""
    noise_objective: float | None = None
    """Standard deviation of one run's objective."""
    signal: Signal | None = None
    """Null where nothing tells the noise."""
    held_out_mae: float | None = None
    """Mean absolute error of the objective of left-out mixtures."""
    # The second name of each choice is what earlier versions wrote.
    no_response: tuple[str, ...] = Field(validation_alias=AliasChoices("no_response", "silent"))
    """Domains without a measurable response."""
    too_noisy: tuple[str, ...] = Field(
        default=(), validation_alias=AliasChoices("too_noisy", "unclear")
    )
    """Domains whose response the noise hides."""
    responses: dict[str, Response] = Field(default_factory=dict)
    """By domain, around the base run if there is one."""
    moved_share: float = 0.0
    """Part of all tokens that `moves` moves to a domain."""
    moves: dict[str, dict[str, float]] = Field(default_factory=dict)
    """By training domain, by result, in its own unit: what the law predicts it to change by when
    `moved_share` of all tokens goes to the domain, taken from all in proportion to what they have
    in the mixture in use. Of the largest scale alone, and of domains that the runs vary."""
    effects: dict[str, dict[str, dict[str, float]]] = Field(default_factory=dict)
    """`increased` and `reduced`: by changed training domain, by validation domain, the change in
    loss against the base run, nats."""


class Cost(Config):
    """What the proxy runs took."""

    runs: int
    tokens: int | None
    seconds: float | None
    device_seconds: dict[str, float] = Field(default_factory=dict)
    """The seconds by what the runs were trained on; empty where that is not known."""


class LargestScale(Config):
    """What the runs of the largest scale say of mixtures beyond a law of all scales."""

    parameters: dict[str, Any]
    """Of the same law fitted to these runs alone, by validation domain."""
    part: float
    """How much of the difference is added to what the law of all scales predicts, 0 to 1: as much
    as left-out mixtures support."""
    token_budget: float
    """Of these runs."""
    unique_tokens: tuple[float, ...] | None = None
    """(domains,) that they had to offer; null where that is not known."""
    model_parameters: float | None = None
    """Of their models; null where that is not known."""


class Reach(Config):
    """How shares get to budgets that were not measured."""

    how: Literal["autoscale", "law", "same shares"]
    """`autoscale`: the optima of the measured scales continued; `same shares`: one scale was
    measured, or decides. `law` is what earlier versions wrote."""
    totals: tuple[float, ...] = ()
    shares: tuple[tuple[float, ...], ...] = ()
    """(scales, domains)."""
    free: tuple[tuple[bool, ...], ...] = ()
    """(scales, domains): off the bounds."""
    slope_error: tuple[float, ...] | None = None
    scale_error: tuple[float, ...] | None = None
    unique_tokens: tuple[tuple[float, ...], ...] | None = None
    """(scales, domains) that the runs had to offer; null where that was all of the text."""
    law: str | None = None
    """The law that predicts the objective at any budget; null where none can."""
    parameters: dict[str, Any] | None = None
    """Its own, by validation domain."""
    largest_scale: LargestScale | None = None
    """What its predictions are moved by; null where they are not."""
    repeats_law: str | None = None
    """Where `law` is null, the law that says what repeated tokens are worth beside new ones."""
    repeats_parameters: dict[str, Any] | None = None
    """Its own, by validation domain."""
    bits_per_nat: tuple[float, ...] | None = None
    """(validation,) for an objective in bits per byte."""


class LawScore(Config):
    """How well a law predicts runs that it has not seen."""

    law: str
    held_out: float | None
    """Mean absolute error of the objective of left-out mixtures; null when it cannot be fitted."""
    next_scale: float | None
    """Mean absolute error at the largest scale of a law fitted to the smaller ones, each without
    its mean over the runs: how well it tells mixtures apart there."""
    held_out_error: float | None = None
    """Standard error of `held_out`, over the left-out mixtures."""
    next_scale_error: float | None = None
    """Standard error of `next_scale`, likewise."""
    next_size: float | None = None
    """As `next_scale`, for the largest models of a law fitted to the smaller ones."""
    next_size_error: float | None = None
    """Standard error of `next_size`, likewise."""
    coefficients: Count | None = None
    """How many the law has for each validation loss; null where that says nothing."""
    note: str | None = None
    """Why a law was left out."""


class TaskCurve(Config):
    """A bounded result as a sigmoid of the loss of its task, fitted to the runs.

    `low + (high - low) / (1 + exp(-slope (middle - loss)))`, as parts of the way between the
    bounds.
    """

    low: float
    high: float
    slope: float = Field(ge=0)
    middle: float
    loss_column: str
    """The column with the task's loss."""
    error: float
    """Mean absolute error of left-out mixtures with it, in the unit of the result."""
    error_without: float
    """The same when the result itself is fitted."""


class ReadResult(Config):
    """A column of results as it was understood."""

    column: str
    metric: str
    """`loss` (nats per token), `perplexity` (read as its logarithm), `bits_per_byte`, `accuracy`,
    `error`, `score` (more is better) or `cost` (less is better)."""
    unit: str = "nats per token"
    """Of the column's values; empty for a bare number."""
    higher_is_better: bool = False
    low: float | None = None
    """Least possible value; null where there is none."""
    high: float | None = None
    """Largest possible value, likewise."""
    curve: TaskCurve | None = None
    """Where the result is predicted by way of the loss of its task."""


class Aim(Config):
    """What the objective is in, and which way is better."""

    title: str
    """For people: `accuracy, fraction`."""
    unit: str
    higher_is_better: bool
    over: str
    """What it is a mean of, in words: `weighted mean over 4 results`."""


class TableReading(Config):
    """How the columns of the tables behind a fit were understood."""

    domains: tuple[str, ...]
    unit: Literal["shares", "percent", "relative", "tokens", "changes", "one domain"]
    """Of the domains' columns: `relative` to an equal share; `changes` of a base run's domains, one
    at a time; `one domain` where nothing is mixed."""
    results: dict[str, ReadResult]
    """By validation domain."""
    roles: dict[str, str] = Field(default_factory=dict)
    """Column by what it says of a run: tokens, parameters, non_embedding, pool (unique tokens),
    seed, step, state, scale."""
    ignored: dict[str, str] = Field(default_factory=dict)
    """Why, by column that took no part."""
    key: str | None = None
    """The column that joined the tables; null when rows were joined by their order."""
    one_table: bool = False
    """Whether one table held mixtures and results, so that nothing was joined."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Why, by run that took no part."""
    unmatched_rows: int = Field(default=0, ge=0)
    """Rows of either table without a partner in the other."""
    remarks: tuple[str, ...] = ()
    """What was noticed about the runs, in sentences."""


class Caution(Config):
    """A limit of a result that its reader can do something about."""

    costs: Literal["decision", "reach", "precision"]
    """What it puts in doubt, from worst: what to do, how far it carries, how exact it is."""
    says: str
    """What is so, in a clause without a full stop."""
    remedy: str
    """What would mend it, likewise."""


class FitRecord(Config):
    """The whole result of one fit."""

    format: Literal[1] = 1
    fit_id: str
    experiment: str | None
    law: str
    objective: Objective
    domains: tuple[str, ...]
    validation: tuple[str, ...]
    constraints: Constraints
    available_tokens: dict[str, int]
    """Training tokens that exist of each domain; empty when unknown."""
    not_varied: dict[str, float] = Field(default_factory=dict)
    """Share of each domain that no run varies, so that no advice on it is possible: it is kept."""
    covered: dict[str, Interval] = Field(default_factory=dict)
    """Range of shares of each domain within which mixtures were looked for, since the runs cover
    it; empty where nothing is limited."""
    model_sizes: tuple[Count, ...] = ()
    """Parameters of the models that the law is fitted to, increasing; empty where not known."""
    parameters_are: Literal["non-embedding", "total"] | None = None
    """What `model_sizes`, and the parameters of targets, count."""
    scales: tuple[Scale, ...]
    mixtures: tuple[Mixture, ...]
    reach: Reach
    gains: tuple[Gain, ...]
    """At the largest measured scale."""
    unanswered: dict[int, str] = Field(default_factory=dict)
    """Why there is no mixture, by token budget that the constraints leave none for."""
    recommended: Recommendation
    """The decision for the largest token budget that was asked for, or else measured."""
    laws: tuple[LawScore, ...] = ()
    """Held-out errors of the laws compared, the chosen one first."""
    warnings: tuple[str, ...]
    """Everything that limits the result, in whole sentences."""
    cautions: tuple[Caution, ...] | None = None
    """Of these limits the ones that a reader can act on, in short, what costs most first; null in
    records of earlier versions."""
    noise: Literal["seeds", "residuals", "evaluation", "unknown"]
    noise_objective: float | None
    """Standard deviation of one run's objective, all scales together."""
    bootstrap: int = Field(ge=0)
    cost: Cost
    run_ids: tuple[str, ...] = ()
    results: dict[str, ReadResult] = Field(default_factory=dict)
    """By validation domain or task, unit and direction; empty where all are losses in nats."""
    aim: Aim | None = None
    """Unit and direction of the objective and of what is predicted of it; null in records of
    earlier versions, whose objectives are better lower."""
    held_back_by: dict[str, float] = Field(default_factory=dict)
    """By task that `objective.no_worse` holds, how much worse it may get and is at the optimum."""
    reading: TableReading | None = None
    """How the tables were understood; null for the runs of an experiment."""
    versions: dict[str, str]


def write_fit(folder: str | Path, record: FitRecord) -> Path:
    """Write `fit.json` atomically."""
    path = Path(folder) / FIT
    write_json(path, record.model_dump(mode="json"))
    return path


def read_fit(path: str | Path) -> FitRecord:
    """Read `fit.json`, given itself or its folder.

    Raises:
        UserError: It is missing or no fit record.
    """
    source = Path(path)
    if source.is_dir():
        source = source / FIT
    values = read_json(source, "`mixscale fit experiment.yaml` makes it")
    return validate(values, FitRecord, str(source))
