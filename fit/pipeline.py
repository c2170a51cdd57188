"""The one way from measured runs to a fitted law with its record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mixscale.contracts.experiment import (
    DEFAULT_RISK,
    TASK_METRICS,
    BaseMixture,
    Constraints,
    Objective,
)
from mixscale.contracts.fit_record import FitRecord
from mixscale.contracts.target import Target
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.covered import covered_shares
from mixscale.fit.constraints.near_runs import NearRuns
from mixscale.fit.constraints.unvaried import unvaried_shares
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.mixture_order import in_order
from mixscale.fit.inputs.named_mixtures import shares_of
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.sizes import check_sizes
from mixscale.fit.metrics.no_worse import no_worse
from mixscale.fit.mixing_law import MixingLaw, choose
from mixscale.fit.output.record import Provenance, fit_record


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of runs, wherever they come from."""

    law: str = "auto"
    objective: Objective = field(default_factory=Objective)
    constraints: Constraints = field(default_factory=Constraints)
    budgets: tuple[int | Target, ...] = ()
    """Runs to project the mixture to: token budgets, or targets with a size."""
    available: Mapping[str, int] = field(default_factory=dict)
    """Training tokens that exist of each domain."""
    current: BaseMixture = "uniform"
    """The mixture in use, which gains are over."""
    risk: float = DEFAULT_RISK
    """Largest chance of a loss with which a change is advised."""
    draws: int = 1000
    """Resamples behind the intervals; 0 for none."""
    seed: int | None = None
    """Of the resamples behind the intervals that are shown; that of the advice when absent."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A fitted law with its record."""

    law: MixingLaw
    record: FitRecord


def fit_runs(
    runs: Runs,
    request: Request,
    provenance: Callable[[str], Provenance],
    bits_per_nat: Floats | None = None,
) -> Fit:
    """Choose a law, find the mixtures and describe both.

    Args:
        runs: Measured runs.
        request: What is asked of them.
        provenance: Says where the fit comes from, given the name of the law that was chosen.
        bits_per_nat: (validation,) for the metric `bits_per_byte`.

    Raises:
        UserError: The runs do not suit the law or the request.
    """
    runs = in_order(runs)
    chosen = choose(runs, request.law, request.objective, bits_per_nat)
    check_sizes(runs, request.budgets)
    advice_seed = _seed_of(runs)
    runs = chosen.runs
    held = unvaried_shares(runs)
    current = _current(request, runs, held)
    if request.current != "uniform":
        held = {d: float(current[runs.domains.index(d)]) for d in held}
    guard = no_worse(request.objective, runs.validation, runs.results, current)
    question = Question(
        objective=replace(chosen.objective, guard=guard),
        constraints=request.constraints,
        budgets=request.budgets,
        available=request.available,
        current=current,
        risk=request.risk,
        draws=request.draws,
        seed=request.seed,
        advice_seed=advice_seed,
        held=held,
        covered=covered_shares(runs, current, request.constraints.max_extrapolation),
        near=NearRuns.of(runs, request.constraints.max_extrapolation),
    )
    found = find_mixtures(runs, chosen.law, chosen.noise, question)
    record = fit_record(
        replace(found, suspects=chosen.suspects),
        law=chosen.law,
        objective=_in_words(request.objective, runs),
        question=question,
        noise=chosen.noise,
        scores=chosen.scores,
        fitted_to=runs,
        provenance=replace(
            origin := provenance(chosen.name), warnings=(*origin.warnings, *chosen.remarks)
        ),
    )
    return Fit(law=chosen, record=record)


def _in_words(objective: Objective, runs: Runs) -> Objective:
    """The objective with the metric of the results, where none was asked for."""
    found = {result.metric for result in runs.results}
    if "metric" in objective.model_fields_set or len(found) != 1 or not found < set(TASK_METRICS):
        return objective
    return objective.model_copy(update={"metric": found.pop()})


def _current(request: Request, runs: Runs, held: Mapping[str, float]) -> Floats:
    """(domains,) the mixture in use; a uniform one is uniform over what the runs vary."""
    current = shares_of(request.current, runs.domains, request.available)
    if request.current != "uniform" or not held:
        return current
    free = np.array([domain not in held for domain in runs.domains])
    kept = np.array([held.get(domain, 0.0) for domain in runs.domains])
    return kept + free * max(1 - kept.sum(), 0.0) / max(int(free.sum()), 1)


def _seed_of(runs: Runs) -> int:
    """A seed that the measured runs alone decide."""
    digest = hashlib.sha256()
    # Columns by name, and rows in their own order: a table that is written otherwise is the same.
    by_name, results = np.argsort(runs.domains), np.argsort(runs.validation)
    for array in (runs.tokens[:, by_name], runs.losses[:, results]):
        digest.update(np.ascontiguousarray(array).tobytes())
    return int(digest.hexdigest()[:8], 16)
