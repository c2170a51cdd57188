"""The limits of a result that its reader can do something about, in short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import Caution, Recommendation, Scale, TableReading
from mixscale.fit.found_mixtures import FoundMixtures, Question
from mixscale.fit.inputs.idle_checkpoints import COPY, EARLIER, EARLY
from mixscale.fit.inputs.scales import SAME_SCALE
from mixscale.fit.laws.base import Law
from mixscale.fit.output.signal_wording import ENOUGH, runs_of_each
from mixscale.fit.uncertainty.noise import Noise

_FEW_NAMES = 3
_FAR = 100
"""Times the largest measured scale, beyond which a projection is a direction."""
_WORST_FIRST = ("decision", "reach", "precision")


def cautions(
    solution: FoundMixtures, law: Law, noise: Noise, question: Question
) -> Iterator[Caution]:
    """Name what limits a fit, apart from its signal."""
    yield from _runs(solution, law, question)
    yield from _of_noise(noise, question)
    yield from _targets(solution, question)
    yield from _sizes(solution)
    yield from _responses(solution)
    found = solution.scales[-1].held_back_by
    if found:
        yield Caution(
            costs="precision",
            says=f"what may not get worse holds the mixture back: {named(list(found))}",
            remedy="allow it to get a little worse (no_worse), if that is worth it",
        )


def signal_cautions(scales: Sequence[Scale], recommended: Recommendation) -> Iterator[Caution]:
    """Name the scale whose runs differ by little more than their noise."""
    last = scales[-1].signal
    if last is None or last.ratio >= ENOUGH:
        return
    things = "mixtures" if last.change is None else "domains"
    yield Caution(
        costs="precision" if recommended.action == "change" else "decision",
        says=f"what tells {things} apart is {last.ratio:.1f} times the noise; {ENOUGH:g} is enough",
        remedy=f"it takes {runs_of_each(last)} runs of each mixture, or a recipe with less noise",
    )


def reading_cautions(reading: TableReading) -> Iterator[Caution]:
    """Name the rows of tables that took no part, or were joined by their place alone."""
    if reading.key is None and not reading.one_table:
        yield Caution(
            costs="decision",
            says="no column names the run in both tables: rows are joined by their order",
            remedy="name such a column with --key",
        )
    if reading.unmatched_rows:
        yield Caution(
            costs="decision",
            says=f"{reading.unmatched_rows} rows of one table have no partner in the other",
            remedy="see the names of the runs in both",
        )
    told = (COPY, EARLY)
    others = [
        name
        for name, why in reading.left_out.items()
        if why not in told and not why.startswith(EARLIER)
    ]
    if others:
        yield Caution(
            costs="decision",
            says=f"{_count(len(others), 'run')} left out: {named(others)}",
            remedy="--details says why",
        )


def worst_first(found: Sequence[Caution]) -> tuple[Caution, ...]:
    """Order them by what they put in doubt; those alike stay in their order."""
    return tuple(sorted(found, key=lambda caution: _WORST_FIRST.index(caution.costs)))


def named(names: Sequence[str]) -> str:
    """List a few names, and how many there are beside."""
    more = f" and {len(names) - _FEW_NAMES} more" if len(names) > _FEW_NAMES else ""
    return ", ".join(names[:_FEW_NAMES]) + more


def _runs(solution: FoundMixtures, law: Law, question: Question) -> Iterator[Caution]:
    deciding = solution.deciding
    if deciding.too_few and deciding.left_out:
        runs, needed = max(deciding.left_out.values())
        yield Caution(
            costs="decision",
            says=f"{runs} runs are fewer than the {needed} coefficients of law {law.name}",
            remedy=f"run {needed - runs + 1} more mixtures, or name a simpler law with --law",
        )
    suspects = solution.suspect_runs
    if suspects:
        yield Caution(
            costs="decision",
            says=f"far from what all other runs say, so left out: {named(suspects)}",
            remedy="see whether it crashed, or has a wrong label",
        )
    if question.held:
        yield Caution(
            costs="decision",
            says=f"no run varies {named(list(question.held))}, so that share is kept",
            remedy="add runs with other shares of it",
        )
    if any(not answer.advice.start_allowed for answer in solution.answers):
        yield Caution(
            costs="decision",
            says="the constraints forbid the mixture in use",
            remedy="gains are over the allowed mixture nearest to it",
        )


def _of_noise(noise: Noise, question: Question) -> Iterator[Caution]:
    if not question.draws:
        return
    if noise.source == "unknown":
        yield Caution(
            costs="decision",
            says="nothing tells how noisy the runs are, so nothing has an interval",
            remedy="run some mixtures again with another seed",
        )
    if noise.source == "evaluation":
        yield Caution(
            costs="precision",
            says="every run has one seed: intervals leave out what seeds differ by",
            remedy="run the mixtures again with another seed",
        )


def _targets(solution: FoundMixtures, question: Question) -> Iterator[Caution]:
    if not question.targets:
        return
    budgets = [target.tokens for target in question.targets]
    fits = solution.scales
    largest, smallest = fits[-1].scale, fits[0].scale
    if min(budgets) < smallest * (1 - SAME_SCALE) and smallest > 1:
        yield Caution(
            costs="decision",
            says=f"a target of {format_tokens(min(budgets))} tokens is smaller than every run",
            remedy="see whether a letter is missing",
        )
    if len(fits) == 1:
        yield Caution(
            costs="reach",
            says=f"one scale decides ({format_tokens(largest)} tokens): how the best mixture moves "
            "is not known",
            remedy="measure a second scale, 4 times as large",
        )
    if max(budgets) > _FAR * largest > _FAR:
        yield Caution(
            costs="reach",
            says=f"{format_tokens(max(budgets))} tokens are {max(budgets) / largest:.0f} times the "
            "largest run: a direction",
            remedy="measure a larger scale",
        )


def _sizes(solution: FoundMixtures) -> Iterator[Caution]:
    far = [answer for answer in solution.answers if answer.kind == "projected"]
    if any(answer.parameters and not answer.size_given for answer in far):
        yield Caution(
            costs="reach",
            says="no model size is given for the target: that of the largest runs is taken",
            remedy="write it as 300B@7B",
        )
    measured = solution.measured.parameters
    given = [answer.parameters for answer in far if answer.parameters and answer.size_given]
    if given and measured is None:
        yield Caution(
            costs="reach",
            says="the runs do not tell the size of their models, so that of the target changes "
            "nothing",
            remedy="add a column `parameters`",
        )
    elif given and measured is not None and max(given) > 1.05 * measured:
        one = "" if solution.several_sizes else ", and one size was measured"
        yield Caution(
            costs="reach",
            says=f"the target's model is {max(given) / measured:.3g} times that of the runs{one}",
            remedy=f"measure {'a larger' if solution.several_sizes else 'a second'} size",
        )


def _responses(solution: FoundMixtures) -> Iterator[Caution]:
    last = solution.scales[-1]
    more = solution.more_than_runs
    if more:
        yield Caution(
            costs="decision",
            says=f"the best mixture has more of {named(more)} than any run: such promises were too "
            "large",
            remedy="run the mixture itself at a small scale, and fit again",
        )
    advice = solution.advice
    if advice.shortened is not None:
        yield Caution(
            costs="decision",
            says=f"what the gain asks for lies {advice.shortened.distance:.2g} times as far from "
            f"the runs as they from each other, so the step ends after {advice.step_size:.0%} of "
            "the way",
            remedy="run mixtures on the rest of the way, and fit again",
        )
    if last.law.no_response():
        yield Caution(
            costs="reach",
            says=f"more of {named(last.law.no_response())} did not measurably help: it gets its "
            "least share",
            remedy="set a floor if it is wanted for something else",
        )
    if last.law.too_noisy():
        yield Caution(
            costs="precision",
            says=f"too noisy to tell for {named(last.law.too_noisy())}: the share is kept",
            remedy="run more seeds, or larger runs",
        )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing} is" if number == 1 else f"{number} {thing}s are"
