"""What a result says in words about its own limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import Action, FitRecord, TableReading
from mixscale.contracts.target import Target
from mixscale.fit.found_mixtures import FoundMixture, FoundMixtures, Question, ScaleFit
from mixscale.fit.inputs.idle_checkpoints import COPY, EARLIER, EARLY
from mixscale.fit.inputs.scales import SAME_SCALE
from mixscale.fit.laws.base import Law
from mixscale.fit.metrics.weights import uncounted
from mixscale.fit.output.units import name_of
from mixscale.fit.recommend import Advice
from mixscale.fit.scaling.deciding_scales import DecidingScales
from mixscale.fit.scaling.largest_scale import MovedLaw
from mixscale.fit.scaling.optimum_path import OptimumPath
from mixscale.fit.scaling.projection import MeasuredOptima, trend_kept
from mixscale.fit.uncertainty.noise import Noise
from mixscale.pages.rounding import number, span

_FEW_NAMES = 8
_ONE_SEED = " Every run has one seed, so the interval leaves out the difference between seeds."


def warnings(
    solution: FoundMixtures, law: Law, noise: Noise, question: Question
) -> tuple[str, ...]:
    """Everything that limits a result, in whole sentences."""
    fits = solution.scales
    sentences = [
        *too_few_remarks(solution.deciding, law),
        *not_varied_remarks(question),
        *not_allowed_remarks(solution),
        *covered_remarks(solution),
        *near_remarks(solution),
        intervals_sentence(fits, law, noise, question),
        *response_remarks(fits),
        *suspect_remarks(solution),
        *counting_remarks(question),
        *held_back_remarks(solution, question),
        *trend_remarks(solution.path.measured, fits[0].runs.domains),
    ]
    sentences += [
        f"No mixture for {format_tokens(budget)} tokens: {reason}"
        for budget, reason in solution.unanswered.items()
    ]
    sentences += reach_remarks(solution, question.targets)
    sentences += size_remarks(solution)
    sentences += extrapolation_remarks(solution.answers, law)
    sentences += largest_scale_remarks(solution.path)
    return tuple(sentence for sentence in sentences if sentence)


def too_few_remarks(deciding: DecidingScales, law: Law) -> list[str]:
    """Say which scales have too few runs for the law."""
    few = [
        f"{runs} runs{f' at {format_tokens(scale)} tokens' if scale > 1 else ''}, {needed} "
        "coefficients"
        for scale, (runs, needed) in deciding.left_out.items()
    ]
    if not few:
        return []
    last = deciding.scales[-1]
    at = f" at {format_tokens(last)} tokens" if last > 1 else ""
    too_few = f"Fewer runs than law {law.name} has coefficients ({_some(few, 6)})"
    if deciding.too_few:
        return [f"{too_few}: nothing can be decided, so the mixture is kept."]
    if deciding.together:
        return [f"{too_few}: the law is fitted to all runs at once, and decides{at}."]
    return [f"{too_few}: such scales decide nothing; the largest scale with enough is{at[3:]}."]


def not_varied_remarks(question: Question) -> list[str]:
    """Name domains that the runs cannot tell anything about."""
    if not question.held:
        return []
    named = ", ".join(f"{name} ({share:.3g})" for name, share in question.held.items())
    return [
        f"No run varies {named}: what more or less of it does was not measured, so it keeps its "
        "share. Runs with other shares of it would tell."
    ]


def covered_remarks(solution: FoundMixtures) -> list[str]:
    """Name domains of which a law would take more, or less, than any run tells about."""
    fit, answer = solution.scales[-1], solution.advised
    held = answer.at_edge_of_runs
    if not held:
        return []
    shares = dict(zip(fit.runs.domains, fit.runs.shares.T, strict=True))
    own = dict(zip(fit.runs.domains, answer.shares, strict=True))
    named = [
        f"{name} ({shares[name].min():.1%} to {shares[name].max():.1%} in the runs, held at "
        f"{own[name]:.1%})"
        for name in held
    ]
    return [
        f"The law would go further than the runs with {_some(named)}: no run tells what that does. "
        "Runs with such shares would; --max-extrapolation goes there without."
    ]


def near_remarks(solution: FoundMixtures) -> list[str]:
    """Say where a step ends because it would leave the runs behind."""
    advice = solution.advice
    if advice.shortened is None:
        return []
    return [
        f"A step of {advice.shortened.wanted:.0%} towards the best mixture would lead "
        f"{advice.shortened.distance:.2g} times as far from the runs as they lie from each other, "
        f"where laws promised too much: it ends after {advice.step_size:.0%}. Runs of such "
        "mixtures would tell; --max-extrapolation goes there without."
    ]


def not_allowed_remarks(solution: FoundMixtures) -> list[str]:
    """Say where the constraints forbid the mixture in use."""
    forbidden = [answer for answer in solution.answers if not answer.advice.start_allowed]
    if not forbidden:
        return []
    budgets = [format_tokens(answer.budget) for answer in forbidden if answer.budget > 1]
    at = f" for {', '.join(budgets)} tokens" if budgets else ""
    return [
        f"The constraints forbid the current mixture{at}: gains are over the allowed mixture "
        "nearest to it."
    ]


def reading_remarks(reading: TableReading) -> tuple[str, ...]:
    """Say which rows of tables took no part, and what was joined by nothing but its place."""
    sentences = []
    if reading.key is None and not reading.one_table:
        sentences.append(
            "No column names the run in both tables, so their rows are joined in the order they "
            "stand in; --key names such a column."
        )
    if reading.unmatched_rows:
        sentences.append(
            f"{reading.unmatched_rows} rows of the tables have no partner and are left out."
        )
    sentences += reading.remarks
    # What the remarks count, and the many checkpoints of one scale, would bury the others.
    earlier = [name for name, why in reading.left_out.items() if why.startswith(EARLIER)]
    told = {COPY, EARLY}
    others = {
        name: reason
        for name, reason in reading.left_out.items()
        if reason not in told and name not in earlier
    }
    if len(earlier) > _FEW_NAMES:
        checkpoints = f"{len(earlier)} checkpoints are"
        sentences.append(
            f"{checkpoints} left out since a later one of the same run is of the same scale: their "
            "tokens differ by less than 5 %."
        )
    else:
        others |= {name: reading.left_out[name] for name in earlier}
    if others:
        named = [f"{name} ({reason})" for name, reason in others.items()]
        more = f" and {len(named) - _FEW_NAMES} more" if len(named) > _FEW_NAMES else ""
        runs = "1 run is" if len(named) == 1 else f"{len(named)} runs are"
        sentences.append(f"{runs} left out: {', '.join(named[:_FEW_NAMES])}{more}.")
    return tuple(sentences)


def unit_words(record: FitRecord) -> str:
    """What gains are in, for people; they are above zero where the mixture is better."""
    aim = record.aim
    if aim is None:
        return record.objective.metric
    name = name_of(record)
    if aim.higher_is_better:
        return f"{name}, more is better" + (f" (in {aim.unit})" if aim.unit == "percent" else "")
    return name


def result_lines(record: FitRecord) -> Iterator[str]:
    """Say what the objective is a mean of, and which scores are predicted by way of a loss."""
    families = record.objective.families
    if families:
        named = [f"{name} ({', '.join(patterns)})" for name, patterns in families.items()]
        yield f"objective: the mean over the families {', '.join(named)}"
    curves = {name: r.curve for name, r in record.results.items() if r.curve is not None}
    for name, curve in curves.items():
        yield (
            f"{name}: by way of {curve.loss_column}, error {curve.error:.4f} on left-out mixtures; "
            f"{curve.error_without:.4f} when it is fitted itself"
        )


def reading_lines(reading: TableReading) -> Iterator[str]:
    """Say what each column was taken for."""
    yield f"read as domains, {reading.unit}: {', '.join(reading.domains)}"
    by_metric: dict[str, list[str]] = {}
    for name, result in reading.results.items():
        better = "more" if result.higher_is_better else "less"
        metric = result.metric.replace("_", " ")
        unit = f" in {result.unit}" if result.unit == "percent" else ""
        by_metric.setdefault(f"{metric}{unit}, {better} is better", []).append(name)
    for metric, names in by_metric.items():
        yield f"read as {metric}: {_some(names)}"
    if reading.roles:
        roles = [f"{column} ({role})" for role, column in reading.roles.items()]
        yield f"read of the runs: {', '.join(roles)}"
    if not reading.one_table:
        yield f"joined by {'their order' if reading.key is None else f'column {reading.key!r}'}"
    elif reading.key is not None:
        yield f"runs named by column {reading.key!r}"
    if reading.ignored:
        ignored = [f"{column or 'unnamed'} ({why})" for column, why in reading.ignored.items()]
        yield f"not used: {_some(ignored)}"


def _some(names: Sequence[str], most: int = 12) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def response_remarks(fits: Sequence[ScaleFit]) -> list[str]:
    """Name domains that do not answer, or that the noise hides."""
    sentences = []
    for fit in fits:
        names = fit.law.no_response()
        at = f" at {format_tokens(fit.scale)} tokens" if fit.scale > 1 else ""
        if names:
            sentences.append(
                f"No measurable response{at} to {', '.join(names)}: more of it did not improve "
                "the objective by more than the noise, so it stays at its smallest allowed share."
            )
        if fit.law.too_noisy():
            sentences.append(
                f"Too noisy to tell{at} for {', '.join(fit.law.too_noisy())}: the response may be "
                "as large as that of other domains or nothing, so the share of the base run is "
                "kept. More seeds, or more tokens a run, would tell."
            )
    return sentences


def counting_remarks(question: Question) -> list[str]:
    """Name results that are fitted and take no part in the objective."""
    objective = question.objective
    left = uncounted(objective.weights, objective.validation)
    return [f"Not part of the objective: {_some(left)}."] if left else []


def held_back_remarks(solution: FoundMixtures, question: Question) -> list[str]:
    """Say which results hold the best mixture back."""
    if question.objective.guard is None:
        return []
    found = solution.scales[-1].held_back_by
    if not found:
        return ["No result comes near what it may get worse by: the limits hold nothing back."]
    named = [f"{name} (by {limit:.4g} at most)" for name, limit in found.items()]
    return [f"The best mixture is held back by what may not get worse: {_some(named)}."]


def suspect_remarks(solution: FoundMixtures) -> list[str]:
    """Name runs that were left out because no law can have come by them."""
    named = solution.suspect_runs
    if not named:
        return []
    runs = "Run " if len(named) == 1 else "Runs "
    verb = "lies" if len(named) == 1 else "lie"
    return [
        f"{runs}{_some(named)} {verb} so far from what all other runs say that the fit "
        "leaves it out: see whether it crashed, or was run with other settings or a wrong label."
    ]


def trend_remarks(measured: MeasuredOptima, domains: Sequence[str]) -> list[str]:
    """Say what a projection follows of the measured trend over scales."""
    if len(measured.totals) < 2:
        return []
    sentences = []
    still = [d for d, trending in zip(domains, measured.has_trend, strict=True) if not trending]
    if still:
        sentences.append(
            f"No trend over scales for {', '.join(still)}: off its bounds at fewer than two "
            "scales, or at a bound at the largest one. A projection keeps the share of the largest "
            "scale."
        )
    kept = trend_kept(measured)
    if kept == 0:
        sentences.append(
            "From scale to scale the optimum moves by no more than its noise, so a projection "
            "keeps the mean of the measured shares, each scale counting by its precision. More "
            "seeds, or scales further apart, could show a trend."
        )
    elif kept < 1:
        sentences.append(
            f"A projection follows {kept:.0%} of the measured trend over scales; the rest is "
            "what its noise alone would explain."
        )
    return sentences


def intervals_sentence(fits: Sequence[ScaleFit], law: Law, noise: Noise, question: Question) -> str:
    """Say what the intervals rest on."""
    if not question.draws:
        return ""
    if fits[-1].draws is None and noise.source != "unknown":
        return f"Law {law.name} gives no intervals."
    if law.needs_base:
        return noise.sentence
    return law.intervals


def reach_remarks(solution: FoundMixtures, targets: Sequence[Target]) -> list[str]:
    """Say how far beyond the measured scales, or below them, the targets lie."""
    if not targets:
        return []
    fits, sentences = solution.scales, []
    largest = fits[-1].scale
    if len(fits) == 1:
        alone = "decides" if solution.deciding.left_out else "was measured"
        others = "other budgets get its shares"
        known = ", and its gain is all that is known" if not solution.path.predictor else ""
        sentences.append(
            f"One scale {alone} ({format_tokens(largest)} tokens): {others}{known}. A second scale "
            "with enough runs would show how both move."
        )
    most = max(target.tokens for target in targets)
    if most > 100 * largest > 100:
        sentences.append(
            f"{format_tokens(most)} tokens are {most / largest:.0f} times the "
            f"largest measured scale ({format_tokens(largest)}): read that projection as a "
            "direction."
        )
    least, smallest = min(target.tokens for target in targets), fits[0].scale
    if least < smallest * (1 - SAME_SCALE) and smallest > 1:
        sentences.append(
            f"A target of {format_tokens(least)} tokens is smaller than the smallest scale that "
            f"decides ({format_tokens(smallest)}): see whether a letter is missing."
        )
    return sentences


def size_remarks(solution: FoundMixtures) -> list[str]:
    """Say which size targets have that give none, and how far others lie beyond the runs'."""
    far = [answer for answer in solution.answers if answer.kind == "projected"]
    sentences = []
    unsized = [answer for answer in far if answer.parameters and not answer.size_given]
    if unsized:
        budgets = ", ".join(format_tokens(answer.budget) for answer in unsized)
        sentences.append(
            f"No model size is given for {budgets} tokens: what is said holds for a model of "
            f"{format_tokens(unsized[0].parameters or 0)} parameters, the size of the largest runs."
        )
    measured = solution.measured.parameters
    given = [answer.parameters for answer in far if answer.parameters and answer.size_given]
    if given and measured is None:
        sentences.append(
            "The runs do not tell the size of their models, so the size of a target changes "
            "nothing; a column such as `parameters` would tell it."
        )
    elif given and measured is not None and max(given) > 1.05 * measured:
        sees = solution.path.predictor is not None and solution.several_sizes
        known = "two or more sizes were measured" if sees else "one size was measured"
        sentences.append(
            f"A target's model has {max(given) / measured:.3g} times the parameters of the largest "
            f"runs' ({format_tokens(measured)}), and {known}"
            + (
                ": read its objective as a direction."
                if sees
                else ": its objective and gain are those of that size."
            )
        )
    return sentences


def extrapolation_remarks(answers: Sequence[FoundMixture], law: Law) -> list[str]:
    """Say what predicts the objective at budgets that were not measured."""
    far = [answer for answer in answers if answer.kind == "projected"]
    if not far or far[0].predicted_by is None:
        return []
    by = f"law {far[0].predicted_by}"
    sentences = []
    if far[0].predicted_by != law.name:
        sentences.append(
            f"Law {law.name} is fitted to each scale: the objective at budgets that were not "
            f"measured is what {by}, fitted to the runs of all scales, predicts for the mixture."
        )
    short = [answer for answer in far if answer.followed < 1]
    if short:
        budgets = ", ".join(f"{format_tokens(a.budget)} ({a.followed:.0%})" for a in short)
        sentences.append(
            f"{by[0].upper()}{by[1:]}, fitted to the runs of all scales, does not support the "
            "whole projected trend: beyond what is followed here it predicts a worse objective. "
            f"Followed: {budgets}."
        )
    return sentences


def largest_scale_remarks(path: OptimumPath) -> list[str]:
    """Say how much of what the largest scale shows is added to the law of all scales."""
    law = None if path.predictor is None else path.predictor.law
    if not isinstance(law, MovedLaw):
        return []
    beside = law.beside
    return [
        f"At other budgets the runs of {format_tokens(beside.run.token_budget)} tokens count "
        f"beside the law of all scales: {beside.part:.0%} of what they say otherwise of mixtures "
        "is added to its predictions, as much as left-out mixtures support."
    ]


def action(advice: Advice) -> Action:
    """Name what a decision comes to."""
    if advice.change:
        return "change"
    return "keep what you have" if advice.start_allowed else "take the nearest allowed mixture"


def recommendation_reason(answer: FoundMixture, largest: ScaleFit, noise: Noise) -> str:
    """Say what speaks for the advice, in one sentence or a few.

    Args:
        answer: The mixture that is advised on.
        largest: The fit of the largest scale that decides.
        noise: What the intervals rest on, where that may leave something out.
    """
    advice = answer.advice
    forbidden = "" if advice.start_allowed else "The constraints forbid the current mixture. "
    if advice.too_few:
        return forbidden + "The runs are fewer than the law's coefficients, so nothing is decided."
    if advice.only_one:
        return forbidden + "The constraints allow a single mixture, so there is nothing to choose."
    if advice.no_response:
        return (
            f"{forbidden}No domain's tokens measurably change the objective at the largest scale."
        )
    one_seed = _ONE_SEED * (noise.source == "evaluation")
    return forbidden + _reason(answer, largest) + _carried(answer) + one_seed


def _carried(answer: FoundMixture) -> str:
    """What is not known where the decision is that of another budget."""
    if answer.kind == "measured" or answer.predicted_by is not None:
        return ""
    return (
        f" No law reaches {format_tokens(answer.budget)} tokens, as one scale decides: whether "
        "the gain carries that far was not measured."
    )


def _reason(answer: FoundMixture, largest: ScaleFit) -> str:
    advice = answer.advice
    at = _at(advice.decided_at)
    doubt = "" if advice.change or advice.second is None else _doubt(answer, largest)
    than = "the current mixture" if advice.start_allowed else "the allowed mixture nearest to it"
    worse = advice.gain < 0
    more = worse != largest.objective.higher_is_better
    interval = advice.interval
    bounds = None if interval is None else (float(interval[0]), float(interval[1]))
    by = number(abs(advice.gain), bounds)
    amount = f"{by} {'higher' if more else 'lower'} objective than {than}{at}"
    if bounds is None:
        return f"Predicted {amount}{doubt}; the noise is unknown."
    if not advice.step_size and advice.shortened is not None:
        return f"Every step towards the best mixture found{at} leads away from the runs."
    if not advice.step_size:
        return f"The best mixture found{at} promises no more than noise alone would promise."
    known = f"gain {number(advice.gain, bounds)}, 90 % interval {span(bounds, value=advice.gain)}"
    step = f"A step of {advice.step_size:.0%} from {than} towards the best one"
    return f"{step} is predicted to give {amount} ({known}){_risk(advice)}{doubt}."


_LEAST_CHANCE = 0.001  # a smaller one says more of the formula than of the mixture


def _risk(advice: Advice) -> str:
    """How the chance of a loss compares with the risk that is taken."""
    if advice.harm is None or advice.gain <= 0:
        return ""
    taken = f"{advice.risk:g}"
    chance = f"{advice.harm:.2g}" if advice.harm >= _LEAST_CHANCE else f"below {_LEAST_CHANCE:g}"
    if advice.border:
        return (
            f": the chance of a loss is {chance}, which other resamples may put on either side of "
            f"the {taken} that is taken, so the mixture is kept"
        )
    if advice.harm >= advice.risk:
        return f", with a chance of a loss of {chance}, above the {taken} that is taken"
    return f", with a chance of a loss of {chance}"


def _doubt(answer: FoundMixture, largest: ScaleFit) -> str:
    """What the second law says, where that is what speaks against a change."""
    advice, second = answer.advice, answer.advice.second
    sure = advice.gain > 0 and (advice.harm is None or advice.harm < advice.risk)
    if second is None or not (sure and advice.step_size):
        return ""
    sign = "a gain of only" if second.gain > 0 else "a loss of"
    own = answer.predicted_by is not None and answer.kind == "projected"
    fitted = f"fitted to the runs{_at(largest.scale)}" if own else "fitted to the same runs"
    return f", but law {advice.second_law}, {fitted}, predicts {sign} {number(abs(second.gain))}"


def _at(tokens: float) -> str:
    return f" at {format_tokens(tokens)} tokens" if tokens > 1 else ""
