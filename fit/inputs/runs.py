"""The measured runs that laws are fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixscale.contracts.fit_record import ReadResult
from mixscale.fit.arrays import Bools, Floats, Ints
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.scales import cluster_scales, kinds_of, mixture_names

BASE = ""
MIXTURE = "*"
CHECKPOINT_POWER = 4.0
"""A checkpoint counts as this power of its part of the run's tokens."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """One row for each run."""

    domains: tuple[str, ...]
    validation: tuple[str, ...]
    tokens: Floats
    """(runs, domains) training tokens; shares where the budget is not known."""
    losses: Floats
    """(runs, validation) nats per token, or what `results` are fitted as; less is better."""
    errors: Floats | None
    """(runs, validation) standard errors of the losses from the evaluation sample."""
    scale: Floats
    """(runs,) token budget of the base run of the run's scale, one number for all runs of it; 1
    where it is not known."""
    changed: tuple[str, ...]
    """The domain changed against the base; `BASE` for a base run, `MIXTURE` for neither."""
    labels: tuple[str, ...]
    """Equal for runs of one mixture, scale, size and supply, which differ by their seed alone."""
    named: tuple[str, ...] = ()
    """What the mixture of each run is called. Runs of one name are of one mixture where their
    shares are about the same: those are what was read, not what was planned. Empty when unknown."""
    seeds: tuple[int, ...] = ()
    """By run. Runs of one scale and seed share initialisation and samples. Empty when unknown."""
    unique_tokens: Floats | None = None
    """(runs, domains) tokens that each domain had to offer; None: unknown."""
    parameters: Floats | None = None
    """(runs,) parameters of the model; None: unknown."""
    parameters_are: str | None = None
    """`non-embedding`, or `total` where those without embeddings are not known of all runs; None
    where nothing is known."""
    results: tuple[ReadResult, ...] = ()
    """(validation,) unit and direction of each result; empty where all are losses."""
    behind: Floats | None = None
    """(runs, validation) losses of the tasks whose results are scores; nan where there is none."""
    behind_columns: tuple[str, ...] = ()
    """(validation,) columns of these losses; empty names where there is none."""
    training_runs: tuple[str, ...] = ()
    """Equal for rows that are checkpoints of one training run, which share its noise. Empty where
    every row is a run of its own."""
    screened: bool = False
    """Whether runs that no law can have come by were looked for, and left out."""

    def __len__(self) -> int:
        """The number of runs."""
        return len(self.tokens)

    @property
    def scales(self) -> Floats:
        """(scales,) in increasing order."""
        return np.unique(self.scale)

    @property
    def shares(self) -> Floats:
        """(runs, domains) of each run's tokens."""
        return self.tokens / self.tokens.sum(-1, keepdims=True)

    @property
    def mixtures(self) -> tuple[str, ...]:
        """Equal for runs of one mixture, at whatever scale."""
        return mixture_names(self.shares, self.named, self.kinds)

    @property
    def kinds(self) -> Ints:
        """(runs,) number of the scale and model size of each run."""
        return kinds_of(self.scale, self.parameters)

    @property
    def independent(self) -> Ints:
        """(runs,) number of the training run that each row belongs to."""
        if not self.training_runs:
            return np.arange(len(self))
        number = {name: i for i, name in enumerate(dict.fromkeys(self.training_runs))}
        return np.array([number[name] for name in self.training_runs], dtype=np.int64)

    @property
    def independent_part(self) -> float:
        """Training runs by row: 1 where no row is a checkpoint of another's run."""
        return (int(self.independent.max()) + 1) / len(self) if len(self) else 1.0

    @property
    def weight(self) -> Floats:
        """(runs,) how much each row counts: 1, and checkpoints less the earlier they are.

        A run that ends where a checkpoint was written would have come to a lower loss there, as
        its learning rate would have fallen by then (Hägele et al., arXiv 2405.18392), and the
        checkpoints of a run share its noise. The power is one that predicted RedPajama at 305M
        parameters well from 70M and 160M; SlimPajama at 680M had no part in the choice.
        """
        if not self.training_runs:
            return np.ones(len(self))
        totals, of_run = self.tokens.sum(-1), self.independent
        last = np.zeros(of_run.max() + 1)
        np.maximum.at(last, of_run, totals)
        return (totals / last[of_run]) ** CHECKPOINT_POWER

    @property
    def points(self) -> Points:
        """The runs without their results, as laws see them."""
        return Points(
            tokens=self.tokens,
            unique_tokens=self.unique_tokens,
            parameters=self.parameters,
            runs=self.independent if self.training_runs else None,
        )

    @property
    def sizes(self) -> Floats:
        """(sizes,) parameters of the models, increasing, those that are nearly equal once; empty
        where they are not known."""
        return (
            np.empty(0) if self.parameters is None else np.unique(cluster_scales(self.parameters))
        )

    @property
    def of_largest_size(self) -> Runs:
        """The runs of the largest model."""
        return self.where(self.is_largest_size)

    @property
    def is_largest_size(self) -> Bools:
        """(runs,) of the largest model; all where sizes are not known or alike."""
        if self.parameters is None or len(self.sizes) < 2:
            return np.ones(len(self), dtype=bool)
        return cluster_scales(self.parameters) == self.sizes[-1]

    @property
    def is_end(self) -> Bools:
        """(runs,) that are no earlier checkpoint of another row's run."""
        return self.weight == 1.0

    def planned(
        self,
        token_budget: float,
        unique_tokens: Floats | None = None,
        parameters: float | None = None,
    ) -> PlannedRun:
        """A run of some token budget.

        Args:
            token_budget: Tokens.
            unique_tokens: (domains,) that each domain has to offer; None: unknown.
            parameters: Of the model; those of the largest of these runs when absent.
        """
        if parameters is None and self.parameters is not None:
            parameters = float(self.parameters.max())
        return PlannedRun(
            token_budget=token_budget, unique_tokens=unique_tokens, parameters=parameters
        )

    def where(self, keep: Bools | Sequence[int]) -> Runs:
        """The runs of a mask, or of indices."""
        rows = np.arange(len(self))[np.asarray(keep)]
        return replace(
            self,
            tokens=self.tokens[rows],
            losses=self.losses[rows],
            errors=None if self.errors is None else self.errors[rows],
            scale=self.scale[rows],
            changed=tuple(self.changed[i] for i in rows),
            labels=tuple(self.labels[i] for i in rows),
            named=tuple(self.named[i] for i in rows) if self.named else (),
            seeds=tuple(self.seeds[i] for i in rows) if self.seeds else (),
            unique_tokens=None if self.unique_tokens is None else self.unique_tokens[rows],
            parameters=None if self.parameters is None else self.parameters[rows],
            behind=None if self.behind is None else self.behind[rows],
            training_runs=(
                tuple(self.training_runs[i] for i in rows) if self.training_runs else ()
            ),
        )

    def at(self, scale: float) -> Runs:
        """The runs of one scale."""
        return self.where(self.scale == scale)
