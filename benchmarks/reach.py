"""How far laws reach: larger models, repeated text, mixtures that were not run.

    python -m benchmarks.reach [--laws joint,separable] [--only mixtures]

Every number comes from the published tables in `../shared/data/mixtures`, read as they are. Each
law stands beside rivals that are fitted in the same run: tokens and size without the mixture
(Hoffmann et al., arXiv 2203.15556), the additive law of Shukor et al. (arXiv 2507.09404), an
exponential of the shares (Ye et al., arXiv 2403.16952), the capacity law of Dai and Zheng (arXiv
2606.08167), which is asked for SlimPajama's seven losses of its own domains. Percentages are of the
measured loss; ranks are Spearman's, of the mean over the losses, for RedPajama also of the mean by
the shares of the validation set that its authors use.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from benchmarks.published import FOLDER
from mixscale.contracts.experiment import Objective
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.fit_tables import read_runs
from mixscale.fit.inputs.long_table import widened
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.options import TableSettings
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.table_files import read_table, stacked
from mixscale.fit.laws.registry import law_named
from mixscale.fit.mixing_law import MixingLaw, choose
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE

Predict = Callable[[Runs, Points], Floats]
"""Fits to runs and predicts (points, validation) losses."""
TOKENS_A_STEP = 1_048_576
LAST_STEP = 30_000
NON_EMBEDDING = {70e6: 18_915_328.0, 160e6: 85_056_000.0, 305e6: 201_541_632.0}
"""Of the models that RedPajama's table labels 70M, 160M and 305M; their authors state them."""
FOLDS = 5
_LATE = 0.05
"""Weight of the checkpoints that the capacity law is fitted to."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Runs to fit and runs to predict."""

    name: str
    fitted: Runs
    unseen: Runs
    weights: Floats | None = None
    """(validation,) of the losses in the mean that is ranked besides the plain one."""


def read(mixtures: Sequence[str], losses: Sequence[str] = (), **settings: object) -> Runs:
    """Runs of published tables, as the command line reads them."""
    first = _table(mixtures)
    second = _table(losses) if losses else first
    asked = TableSettings.model_validate(settings)
    return read_runs(first, second, asked, (mixtures[0], (losses or mixtures)[0]))[0]


def _table(names: Sequence[str]):
    paths = [FOLDER / f"{name}.csv" for name in names]
    return widened(stacked([read_table(p) for p in paths], list(map(str, paths))), str(paths[0]))


def slimpajama() -> Runs:
    """All sizes with all checkpoints."""
    return read(["slimpajama_sizes_train"])


def redpajama() -> Runs:
    """All sizes, up to the step that all runs were measured at."""
    names = [f"mixinglaws_redpajama_{size}" for size in ("70M", "160M", "305M")]
    runs = read(names, tokens_per_step=TOKENS_A_STEP)
    return runs.where(runs.scale <= LAST_STEP * TOKENS_A_STEP)


def larger_models() -> Iterator[Task]:
    """The last checkpoints of the largest models, from the smaller models."""
    slim = slimpajama()
    largest = _size(slim, -1)
    yield Task(
        name="SlimPajama 680M",
        fitted=slim.where(~largest),
        unseen=slim.where(largest & slim.is_end),
    )
    red = redpajama()
    largest, last = _size(red, -1), red.scale == LAST_STEP * TOKENS_A_STEP
    shares = read_table(FOLDER / "mixinglaws_valid_weights.csv")
    of_name = dict(zip(shares["valid_domain"], map(float, shares["weight"]), strict=True))
    labelled = Task(
        name="RedPajama 305M",
        fitted=red.where(~largest),
        unseen=red.where(largest & last),
        weights=np.array([of_name[name] for name in red.validation]),
    )
    yield labelled
    yield replace(
        labelled,
        name="RedPajama 305M, sizes without embeddings",
        fitted=_without_embeddings(labelled.fitted),
        unseen=_without_embeddings(labelled.unseen),
    )


def _without_embeddings(runs: Runs) -> Runs:
    assert runs.parameters is not None
    sizes = np.array([NON_EMBEDDING[size] for size in runs.parameters.tolist()])
    return replace(runs, parameters=sizes, parameters_are="non-embedding")


def repeated_text() -> Task:
    """Models from 1B parameters on, from the smaller ones."""
    runs = read(["repetition_train"])
    assert runs.parameters is not None
    large = runs.parameters >= 1e9
    return Task(name="repeated C4", fitted=runs.where(~large), unseen=runs.where(large))


def unseen_mixtures() -> Iterator[tuple[str, list[Task]]]:
    """Left-out mixtures at one size and budget, in parts."""
    train = read(["regmix_train_1m_mixture"], ["regmix_train_1m_loss"])
    test = read(["regmix_test_1m_mixture"], ["regmix_test_1m_loss"])
    yield "RegMix 1M, 512 for 256", [Task(name="", fitted=train, unseen=test)]
    red = read(["mixinglaws_redpajama_70M"], tokens_per_step=TOKENS_A_STEP)
    red = red.where(red.scale == LAST_STEP * TOKENS_A_STEP)
    yield "RedPajama 70M, each of 42", _parts(red, len(red))
    olmix = read(["olmix_dclm_ratios"], ["olmix_dclm_metrics"])
    yield "Olmix dclm, 110 tasks, fifths", _parts(olmix, FOLDS)
    olmix = read(["olmix_full_ratios_train"], ["olmix_full_metrics_train"])
    yield "Olmix full, 110 tasks, fifths", _parts(olmix, FOLDS)


def _parts(runs: Runs, count: int) -> list[Task]:
    part = np.random.default_rng(0).permutation(len(runs)) % count
    return [
        Task(name="", fitted=runs.where(part != k), unseen=runs.where(part == k))
        for k in range(count)
    ]


def _size(runs: Runs, which: int) -> Bools:
    assert runs.parameters is not None
    return runs.parameters == np.unique(runs.parameters)[which]


def by_law(name: str) -> Predict:
    """The product's law."""

    def predict(runs: Runs, points: Points) -> Floats:
        objective = objective_function(Objective(), runs.validation)
        return law_named(name).fit(runs, objective, UNKNOWN_NOISE).predict_losses(points)

    return predict


def with_effects(name: str) -> Predict:
    """The product's law with the effects of measured mixtures, as `--predict` gives them."""

    def predict(runs: Runs, points: Points) -> Floats:
        return choose(runs, name, Objective()).predict_losses(points)

    return predict


def by_whole_law(name: str) -> Predict:
    """The product's law as `--predict` asks it: many results steady each other."""

    def predict(runs: Runs, points: Points) -> Floats:
        objective = objective_function(Objective(), runs.validation)
        return MixingLaw(
            runs=runs, law=law_named(name), objective=objective, noise=UNKNOWN_NOISE, scores=()
        ).predict_losses(points)

    return predict


def tokens_and_size(runs: Runs, points: Points) -> Floats:
    """`E + A/P^a + B/D^b` for each loss, blind to the mixture."""
    return _curves(runs, points, lambda t, shares: np.exp(t[5]), 1)


def additive(runs: Runs, points: Points) -> Floats:
    """`E + A/P^a + B/D^b + 1 / sum_j C_j h_j^g` for each loss."""
    return _curves(
        runs, points, lambda t, shares: 1 / (shares ** np.exp(t[5]) @ np.exp(t[6:])), None
    )


def capacity(runs: Runs, points: Points) -> Floats:
    """`E_i + c_i x_i^(-b_i) + A_i (h_i T)^(-a_i)` for each domain's own loss; nan for others.

    The capacity that each domain gets, x, minimises the sum of `h_i c_i x_i^(-b_i)` with the sum of
    x given by the model's size and no x below H (Dai and Zheng, arXiv 2606.08167), so that all
    losses are fitted at once. Early checkpoints are left out: they cost time and bend it.
    """
    runs = runs.where(runs.weight > _LATE)
    own = [runs.validation.index(name) for name in runs.domains]
    count, y = len(own), runs.losses[:, own]
    reference = runs.points
    assert reference.parameters is not None
    largest, longest = reference.parameters.max(), reference.totals.max()

    def curve(t: Floats, at: Points) -> Floats:
        b, c, a, factor = np.exp(t[: 4 * count]).reshape(4, count)
        assert at.parameters is not None
        x = _allocated(at.shares, b, c, np.exp(t[-1]), at.parameters / largest)
        return t[4 * count : -1] + c * x**-b + factor * (at.tokens / longest) ** -a

    root = np.sqrt(runs.weight)[:, None]
    start = np.concatenate(
        [np.log(np.repeat([0.2, 0.5, 0.3, 0.3], count)), 0.5 * y.min(0), [np.log(0.02)]]
    )
    low = np.r_[np.full(count, -4.6), np.full(3 * count, -8.0), np.zeros(count), -8.0]
    high = np.r_[np.zeros(count), np.full(3 * count, 4.0), y.min(0), 0.0]
    fitted = least_squares(
        lambda t: ((curve(t, reference) - y) * root).ravel(),
        start, loss="soft_l1", f_scale=0.01, max_nfev=100, bounds=(low, high),
    ).x  # fmt: skip
    predicted = np.full((len(points), len(runs.validation)), np.nan)
    predicted[:, own] = curve(fitted, points)
    return predicted


def _allocated(shares: Floats, b: Floats, c: Floats, least: float, size: Floats) -> Floats:
    """(points, domains) capacities: `(h b c / multiplier)^(1 / (b + 1))`, or the least one."""
    logs = np.log(np.maximum(shares, 1e-12) * b * c)
    low, high = np.full(len(shares), -60.0), np.full(len(shares), 60.0)
    for _ in range(40):
        middle = 0.5 * (low + high)
        x = np.maximum(np.exp((logs - middle[:, None]) / (b + 1)), least)
        over = x.sum(1) > size + (shares.shape[1] - 1) * least
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return np.maximum(np.exp((logs - high[:, None]) / (b + 1)), least)


def _curves(
    runs: Runs, points: Points, of_mixture: Callable[[Floats, Floats], Floats], own: int | None
) -> Floats:
    """Fit `E + A/P^a + B/D^b + term of the mixture` by least squares with Huber's loss."""
    domains = runs.tokens.shape[1]
    count = 1 + domains if own is None else own
    size, total = _logs(runs.points, runs.points)
    at_size, at_total = _logs(points, runs.points)
    shares, at_shares = np.maximum(runs.shares, 1e-4), np.maximum(points.shares, 1e-4)

    def curve(t: Floats, p: Floats, n: Floats, h: Floats) -> Floats:
        powers = np.exp(t[1] - np.exp(t[2]) * p) + np.exp(t[3] - np.exp(t[4]) * n)
        return t[0] + powers + of_mixture(t, h)

    columns = []
    for y in runs.losses.T:
        start = np.concatenate([[0.5 * y.min()], np.log([0.3, 0.35, 0.3, 0.35]), np.zeros(count)])
        fitted = least_squares(
            lambda t, y=y: curve(t, size, total, shares) - y,
            start, loss="soft_l1", f_scale=0.01, max_nfev=400,
        ).x  # fmt: skip
        columns.append(curve(fitted, at_size, at_total, at_shares))
    return np.stack(columns, 1)


def _logs(points: Points, reference: Points) -> tuple[Floats, Floats]:
    assert points.parameters is not None
    assert reference.parameters is not None
    size = np.log(points.parameters / reference.parameters.max())
    return size, np.log(points.totals / reference.totals.max())


def unseen(task: Task, predict: Predict) -> tuple[Floats, Floats]:
    """(runs, validation) predicted and measured losses."""
    return predict(task.fitted, task.unseen.points), task.unseen.losses


def rank(predicted: Floats, measured: Floats, weights: Floats | None = None) -> float:
    """Of the mean over the losses."""
    both = [np.average(values, axis=1, weights=weights) for values in (predicted, measured)]
    if np.ptp(both[0]) < 1e-9:
        return float("nan")
    return float(np.asarray(spearmanr(*both))[0])


def rank_by_result(predicted: Floats, measured: Floats) -> float:
    """Mean over the results of the rank correlation of each."""
    return float(
        np.mean([rank(predicted[:, [k]], measured[:, [k]]) for k in range(measured.shape[1])])
    )


def report(laws: Sequence[str], only: str | None = None) -> Iterator[str]:
    """Lines of the tables as they are done."""
    for name, part in PARTS.items():
        if only in (None, name):
            yield from part(laws)
            yield ""


def report_sizes(laws: Sequence[str]) -> Iterator[str]:
    """Larger models, from smaller ones."""
    rivals: dict[str, Predict] = {"tokens and size": tokens_and_size, "additive": additive}
    yield "| fitted to smaller models, compared at | law | error | rank | weighted | seconds |"
    yield "|---|---|---|---|---|---|"
    own: dict[str, Predict] = {name: by_law(name) for name in laws}
    own |= {f"{name}, with effects of measured mixtures": with_effects(name) for name in laws}
    for task in larger_models():
        more = (
            {"capacity": capacity} if set(task.fitted.domains) < set(task.fitted.validation) else {}
        )
        for name, predict in (own | rivals | more).items():
            started = time.process_time()
            predicted, measured = unseen(task, predict)
            told = np.isfinite(predicted).all(0)
            predicted, measured = predicted[:, told], measured[:, told]
            error = float((np.abs(predicted - measured) / measured).mean())
            weighted = (
                "" if task.weights is None else f"{rank(predicted, measured, task.weights):.3f}"
            )
            yield (
                f"| {task.name} | {name} | {error:.2%} | {rank(predicted, measured):.3f} | "
                f"{weighted} | {time.process_time() - started:.0f} |"
            )


def report_repeats(laws: Sequence[str]) -> Iterator[str]:
    """Text that is read again."""
    task = repeated_text()
    yield "| repeated text, from runs below 1B parameters | mean absolute error | median |"
    yield "|---|---|---|"
    for name, predict in {n: by_law(n) for n in laws}.items():
        missed = np.abs(np.subtract(*unseen(task, predict)))
        yield f"| {name} | {missed.mean():.4f} | {np.median(missed):.4f} |"
    blind = replace(task.fitted, unique_tokens=None)
    missed = np.abs(by_law("joint")(blind, task.unseen.points) - task.unseen.losses)
    yield f"| joint, repeats taken for new text | {missed.mean():.4f} | {np.median(missed):.4f} |"


def report_mixtures(laws: Sequence[str]) -> Iterator[str]:
    """Mixtures that were left out."""
    yield "| left-out mixtures | law | mean absolute error | rank of the mean | mean of the ranks |"
    yield "|---|---|---|---|---|"
    for table, parts in unseen_mixtures():
        for name in (*laws, "loglinear"):
            pairs = [unseen(part, by_whole_law(name)) for part in parts]
            predicted, measured = (np.concatenate(values) for values in zip(*pairs, strict=True))
            error = float(np.abs(predicted - measured).mean())
            yield (
                f"| {table} | {name} | {error:.4f} | {rank(predicted, measured):.3f} | "
                f"{rank_by_result(predicted, measured):.3f} |"
            )


PARTS = {"sizes": report_sizes, "repeats": report_repeats, "mixtures": report_mixtures}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--laws", default="joint,separable")
    parser.add_argument("--only", choices=PARTS)
    asked = parser.parse_args()
    for line in report(asked.laws.split(","), asked.only):
        print(line, flush=True)


if __name__ == "__main__":
    main()
