"""A mixing law bound to the runs it is fitted to and to the objective it is compared by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import LawScore
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import ObjectiveFunction, objective_function
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.sizes import comparable_runs, size_remarks, visible_runs
from mixscale.fit.laws.base import FittedLaw, Law
from mixscale.fit.laws.registry import law_named, reference_law
from mixscale.fit.laws.selection import choose_law
from mixscale.fit.metrics.by_loss import by_losses
from mixscale.fit.metrics.shared_structure import SharedStructure, shared_structure
from mixscale.fit.mixture_effects import MixtureEffects, mixture_effects
from mixscale.fit.scaling.deciding_scales import deciding_scales
from mixscale.fit.uncertainty.noise import Noise
from mixscale.fit.uncertainty.residuals import comparison_noise
from mixscale.fit.uncertainty.suspect_runs import without_suspects


@dataclass(frozen=True, kw_only=True)
class MixingLaw:
    """A law with all that fitting it takes."""

    runs: Runs
    law: Law
    objective: ObjectiveFunction
    noise: Noise
    scores: tuple[LawScore, ...]
    """Held-out errors of the laws that `auto` compared, the best first."""
    remarks: tuple[str, ...] = ()
    """What to say of the runs that the law is fitted to."""
    suspects: tuple[str, ...] = ()
    """Names of runs that went wrong: `runs` are the others."""

    @property
    def name(self) -> str:
        """The law's name."""
        return self.law.name

    @cached_property
    def fitted(self) -> FittedLaw:
        """The law, of the largest scale where it does not span them."""
        scale = deciding_scales(self.runs, self.law).scales[-1]
        if self.law.spans_scales:
            return self.law.fit(self.runs, self.objective, self.noise)
        return self.law.fit(self.runs.at(scale), self.objective, self.noise.at(scale))

    @cached_property
    def effects(self) -> MixtureEffects:
        """What measured mixtures differ from the law by in larger runs too."""
        return mixture_effects(self.law, self.fitted, self.runs, self.objective, self.noise)

    @cached_property
    def shared(self) -> SharedStructure | None:
        """What many results have in common; None where they are few."""
        return shared_structure(self.fitted, self.runs)

    def predict_losses(self, points: Points) -> Floats:
        """(points, validation) losses in nats: the law, steadied by what many results have in
        common, and the effects of measured mixtures."""
        losses = self.fitted.predict_losses(points)
        steadied = losses if self.shared is None else self.shared.at(losses)
        return steadied + self.effects.at(points)


def choose(
    runs: Runs, law: str, objective: Objective, bits_per_nat: Floats | None = None
) -> MixingLaw:
    """Bind runs to an objective and to a law, compared with the others if it is `auto`.

    Args:
        runs: Measured runs.
        law: Its name, or `auto` for the one that predicts left-out runs best.
        objective: What to minimise.
        bits_per_nat: (validation,) for metrics that need them.

    Raises:
        UserError: There is no such law, or none can be fitted to the runs.
    """
    objective_function(objective, runs.validation, bits_per_nat, runs.results).check(runs.losses)
    found = without_suspects(runs)
    runs = by_losses(found.kept)
    bound = objective_function(objective, runs.validation, bits_per_nat, runs.results)
    scores: tuple[LawScore, ...] = ()
    if law == "auto":
        compared_by = comparable_runs(runs)
        noise = _noise(compared_by, bound)
        compared = choose_law(compared_by, bound, noise)
        law, scores = compared.law, compared.scores
    chosen = law_named(law)
    fitted_to = visible_runs(runs, chosen)
    return MixingLaw(
        runs=fitted_to,
        law=chosen,
        objective=bound,
        noise=_noise(fitted_to, bound),
        scores=scores,
        remarks=size_remarks(runs, chosen),
        suspects=found.suspects,
    )


def _noise(runs: Runs, objective: ObjectiveFunction) -> Noise:
    reference = reference_law()
    return comparison_noise(visible_runs(runs, reference), objective, reference)
