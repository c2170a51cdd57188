"""Fits from Python: a fitted law with its advice, and the run.yaml it is for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mixscale.api.budgets import TokenBudget, read_budget
from mixscale.api.frames import Frame, read_frame
from mixscale.api.rows import Rows
from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import DEFAULT_RISK, Constraints, Objective
from mixscale.contracts.fit_record import FitRecord, Mixture, Recommendation, read_fit, write_fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mixscale.fit.apply.run_yaml import ApplyResult
    from mixscale.fit.mixing_law import MixingLaw

Folder = str | os.PathLike[str]
Estimate = Literal["recommended", "optimum"]
PlotKind = Literal["mixtures", "responses", "effects", "laws"]


class Fit:
    """A mixing law fitted to runs, with the mixtures it leads to and what to make of them."""

    def __init__(
        self, record: FitRecord, *, folder: Path | None = None, law: MixingLaw | None = None
    ) -> None:
        self.record = record
        """All that was found: what `fit.json` holds."""
        self.folder = folder
        """Where the record and the report lie; nothing for a fit that was not saved."""
        self._fitted = law

    @property
    def recommendation(self) -> Recommendation:
        """Whether to change the mixture: `action`, `reason`, predicted `gain` with `interval`."""
        return self.record.recommended

    @property
    def mixtures(self) -> Rows:
        """For each token budget two rows, the optimum and the recommended mixture."""
        from mixscale.fit.fit_tables import mixture_rows

        return Rows.of(mixture_rows(self.record.mixtures, self.record.domains))

    @property
    def intervals(self) -> Rows:
        """For each token budget and domain the optimal share with its 90 % interval."""
        return Rows.of(
            {
                "token_budget": mixture.token_budget,
                "kind": mixture.kind,
                "domain": domain,
                "share": mixture.proportions[domain],
                "low": low,
                "high": high,
            }
            for mixture in self.record.mixtures
            for domain, (low, high) in _intervals(mixture)
        )

    def optimum(
        self, tokens: TokenBudget | None = None, parameters: TokenBudget | None = None
    ) -> Mixture:
        """Give the best allowed mixture for a run: `.proportions`, `.recommended` and more.

        Args:
            tokens: Any token budget, such as "300B"; that of the largest runs when absent.
            parameters: Of the model, such as "7B"; those of the largest runs when absent, and the
                result says so (`.size_given`).

        Raises:
            UserError: The budget is none, the constraints allow no mixture there, the runs' tokens
                are not known, or the model is smaller than those of all runs.
        """
        from mixscale.contracts.target import parse_parameters
        from mixscale.fit.scaling.stored_fit import mixture_at

        size = None if parameters is None else parse_parameters(parameters)
        if tokens is None:
            measured = next(m for m in reversed(self.record.mixtures) if m.kind == "measured")
            if size is None or measured.token_budget is None:
                return measured
            tokens = measured.token_budget
        budget = read_budget(tokens)
        if self.record.scales[-1].scale_tokens is None:
            raise UserError(
                "optimum: the tables do not tell the runs' tokens, so there is no other budget; "
                "add a column `tokens`, or give run_tokens"
            )
        return mixture_at(self.record, budget, size)

    def predict(
        self,
        mixtures: Frame,
        tokens: TokenBudget | None = None,
        parameters: TokenBudget | None = None,
        *,
        intervals: bool = False,
    ) -> Rows:
        """Predict the objective and the losses, nats per token, of mixtures.

        Args:
            mixtures: Shares or tokens by domain: one mapping, or a table with a row for each, with
                `tokens`, `parameters` and `unique_<domain>` or without.
            tokens: Token budget of every mixture where the table does not tell it; that of the
                largest runs when absent.
            parameters: Of the model, likewise.
            intervals: Whether to give the 90 % interval of the objective, which takes resamples.

        Returns:
            A row for each mixture, in their order: its name, `objective`, `objective_low` and
            `objective_high` if asked for, `loss_<validation domain>`.

        Raises:
            UserError: The domains are others than the fitted ones, a row is no mixture, or the fit
                was loaded without its runs.
        """
        from mixscale.contracts.target import parse_parameters
        from mixscale.fit.inputs.mixture_table import mixtures_of
        from mixscale.fit.predictions import matching_points, prediction_rows

        budget = None if tokens is None else read_budget(tokens)
        table = read_frame(mixtures, "mixtures")
        wanted = mixtures_of(table, "mixtures", budget)
        if parameters is not None and wanted.facts.size is None:
            size = parse_parameters(parameters)
            rows = len(wanted.amounts)
            wanted = mixtures_of(table | {"parameters": [size] * rows}, "mixtures", budget)
        law = self._law
        available, draws = self.record.available_tokens, self.record.bootstrap
        points = matching_points(wanted, law.runs, "mixtures", available)
        return Rows.of(prediction_rows(wanted, points, law, draws if intervals else 0))

    def plot(self, kind: PlotKind = "mixtures") -> Figure:
        """Draw the shares by token budget, or another of the report's figures.

        Raises:
            UserError: The fit has not the numbers for it.
        """
        from mixscale.fit.output import figures

        plots = {
            "mixtures": figures.plot_mixtures,
            "responses": figures.plot_responses,
            "effects": figures.plot_effects,
            "laws": figures.plot_laws,
        }
        if kind not in plots:
            raise UserError(f"plot: unknown kind {kind!r}; expected one of {sorted(plots)}")
        figure = plots[kind](self.record)
        if figure is None:
            raise UserError(f"plot: this fit has not the numbers for {kind!r}")
        return figure

    def save(self, folder: Folder) -> Path:
        """Write `fit.json` and `report.html` with its figures into a folder.

        Returns:
            The folder, which `mixscale apply` and `load_fit` take.
        """
        from mixscale.fit.output.page import report

        target = Path(folder)
        write_fit(target, self.record)
        report(target)
        self.folder = target
        return target

    def summary(self, details: bool = False) -> str:
        """Say in plain text what `mixscale fit` prints: the answer, what it rests on, what next.

        Args:
            details: Whether to add all that `mixscale fit --details` prints.
        """
        return self._drawn(details).export_text()

    def __repr__(self) -> str:
        said = self.recommendation
        return f"<Fit {self.record.fit_id}: law {self.record.law}, {said.action}>"

    def _repr_html_(self) -> str:
        style = "white-space:pre;overflow-x:auto;line-height:normal"
        return self._drawn().export_html(
            inline_styles=True, code_format=f'<pre style="{style}">{{code}}</pre>'
        )

    def _drawn(self, details: bool = False) -> Any:
        from io import StringIO

        from rich.console import Console

        from mixscale.fit.output import terminal

        console = Console(file=StringIO(), record=True, width=110, highlight=False, markup=False)
        parts = [*terminal.summary(self.record, self.folder)]
        parts += ["", *terminal.details(self.record)] if details else []
        for part in parts:
            # A command that is broken into lines cannot be copied.
            console.print(part, soft_wrap=isinstance(part, str))
        return console

    @cached_property
    def _law(self) -> MixingLaw:
        if self._fitted is not None:
            return self._fitted
        if self.record.experiment is None or self.folder is None:
            raise UserError(
                f"{self.record.fit_id}: the record does not hold the tables that the law was "
                "fitted to; fit_tables gives a fit that predicts"
            )
        return _refit(self.record, self.folder.parents[1])


def fit(
    experiment: Folder, *, law: str = "auto", bootstrap: int = 1000, seed: int | None = None
) -> Fit:
    """Fit a mixing law to the runs of an experiment, as `mixscale fit` does.

    Args:
        experiment: The file experiment.yaml, whose sweep has run.
        law: Name of a law, or `auto` for the one that predicts left-out runs best.
        bootstrap: Resamples behind the intervals; 0 for none.
        seed: Of the resamples; made from the content of the runs when absent.

    Raises:
        UserError: Runs are missing that the law cannot do without, or settings do not fit the runs.
    """
    from mixscale.fit.fit_experiment import fit_experiment

    return load_fit(fit_experiment(Path(experiment), law=law, bootstrap=bootstrap, seed=seed))


def fit_tables(
    mixtures: Frame,
    losses: Frame | None = None,
    *,
    law: str = "auto",
    objective: str | Mapping[str, Any] | Objective | None = None,
    constraints: Mapping[str, Any] | Constraints | None = None,
    targets: Sequence[TokenBudget | Mapping[str, TokenBudget]] = (),
    run_tokens: TokenBudget | None = None,
    available_tokens: Mapping[str, TokenBudget] | None = None,
    current: str | Mapping[str, float] = "uniform",
    risk: float = DEFAULT_RISK,
    domains: Sequence[str] = (),
    results: Sequence[str] = (),
    key: str | None = None,
    size: str | None = None,
    tokens_per_step: TokenBudget | None = None,
    keep_early: bool = False,
    higher_is_better: Sequence[str] = (),
    lower_is_better: Sequence[str] = (),
    bootstrap: int = 1000,
    seed: int | None = None,
    name: str = "tables",
) -> Fit:
    """Fit a mixing law to mixtures and losses from anywhere.

    Args:
        mixtures: A row for each run with the shares (or tokens) of the training domains: a path to
            CSV or Parquet, an Arrow table, a pandas or polars frame, a mapping from names to
            columns, or a list of mappings. With a row for each checkpoint and validation domain
            (`valid_domain`, `loss`), too.
        losses: Losses of the validation domains, likewise; joined on a column that names the run,
            else by row. `mixtures` holds both when absent.
        law: Name of a law, or `auto` for the one that predicts left-out runs best.
        objective: `loss`, `perplexity`, `accuracy`, …, or as in experiment.yaml `{"metric": …,
            "weights": …, "families": …, "drop": …, "no_worse": …}`. When absent, the losses that
            the tables hold, or else their accuracies.
        constraints: As in experiment.yaml: `{"floor": 0.02, "max_epochs": 4}`.
        targets: Runs to project the mixture to: token budgets, `"300B@7B"` with the size of the
            model, or `{"tokens": "300B", "parameters": "7B"}`.
        run_tokens: Tokens of every run, where the tables do not tell.
        available_tokens: Training tokens that exist of each domain.
        current: The mixture in use: `uniform`, `natural` (by `available_tokens`), or shares.
        risk: Largest chance of a loss, up to 0.5, with which a change of the mixture is advised.
        domains: Columns of `mixtures` with shares, where their names do not tell; patterns such as
            `mix_*` are allowed.
        results: Columns of `losses` with losses, likewise.
        key: The column that names the run in both tables, likewise.
        size: The column with the model's parameters, likewise.
        tokens_per_step: Tokens of a training step, where the tables have steps alone.
        keep_early: Fit to the first checkpoints of runs too, which lie off every power law.
        higher_is_better: Results of which more is better, where their names do not tell; patterns.
        lower_is_better: Results of which less is better, likewise.
        bootstrap: Resamples behind the intervals; 0 for none.
        seed: Of the resamples; made from the content of the tables when absent.
        name: First part of the fit's id.

    Raises:
        UserError: A table cannot be read or does not fit the other, a setting is wrong, or the law
            cannot be fitted.
    """
    from mixscale.fit.fit_tables import content_sha256, fit_table_runs, read_runs
    from mixscale.fit.inputs.long_table import widened
    from mixscale.fit.inputs.options import TableSettings

    asked = {
        "objective": {"metric": objective} if isinstance(objective, str) else objective or {},
        "constraints": {} if constraints is None else constraints,
        "targets": [_target(target) for target in targets],
        "current": current if isinstance(current, str) else dict(current),
        "risk": risk,
        "available_tokens": {
            domain: read_budget(tokens, f"available_tokens.{domain}")
            for domain, tokens in (available_tokens or {}).items()
        },
        "domains": list(domains),
        "results": list(results),
        "key": key,
        "size": size,
        "tokens_per_step": (
            None if tokens_per_step is None else read_budget(tokens_per_step, "tokens_per_step")
        ),
        "keep_early": keep_early,
        "higher_is_better": list(higher_is_better),
        "lower_is_better": list(lower_is_better),
        "run_tokens": None if run_tokens is None else read_budget(run_tokens, "run_tokens"),
    }
    settings = validate(asked, TableSettings, "fit_tables")
    table = widened(read_frame(mixtures, "mixtures"), "mixtures")
    measured = table if losses is None else widened(read_frame(losses, "losses"), "losses")
    where = "mixtures", "mixtures" if losses is None else "losses"
    runs, reading = read_runs(table, measured, settings, where)
    fitted = fit_table_runs(
        runs,
        law=law,
        settings=settings,
        bootstrap=bootstrap,
        seed=seed,
        name=name,
        reading=reading,
        content=content_sha256(runs, law, bootstrap, seed, settings),
    )
    return Fit(fitted.record, law=fitted.law)


def _target(target: TokenBudget | Mapping[str, TokenBudget]) -> Any:
    """A target as settings have it; a plain budget may be a float here."""
    if isinstance(target, Mapping) or (isinstance(target, str) and "@" in target):
        return target
    return read_budget(target, "targets")


def load_fit(folder: Folder) -> Fit:
    """Read a fit again from its folder `fits/<fit id>`.

    Raises:
        UserError: There is no fit record.
    """
    path = Path(folder)
    return Fit(read_fit(path), folder=path.absolute())


def apply(
    fit: Fit | Folder,
    tokens: TokenBudget,
    run_yaml: Folder,
    *,
    output: Folder | None = None,
    dry_run: bool = False,
    backup: bool = True,
    streams: Mapping[str, str] | None = None,
    estimate: Estimate = "recommended",
    parameters: TokenBudget | None = None,
) -> ApplyResult:
    """Write the mixture of a fit at a token budget into the streams of a run, as `mixscale apply`.

    Args:
        fit: The fit, or its folder.
        tokens: Token budget of the run, such as "300B".
        run_yaml: A Composer or LLM Foundry training YAML.
        output: File to write instead of `run_yaml` itself.
        dry_run: Change no file; the result's `diff` shows the change.
        backup: Keep the replaced file as `<name>.bak`, or `<name>.bak.1` and so on when there is
            one already.
        streams: Stream name of each domain whose stream is called otherwise.
        estimate: `recommended`, or `optimum` for the law's best mixture whatever the noise.
        parameters: Of the run's model, such as "7B"; those of the largest proxy runs when absent.

    Raises:
        UserError: The fit or the YAML cannot be read, they do not match, or the constraints allow
            no mixture at this budget.
    """
    from mixscale.contracts.target import parse_parameters
    from mixscale.fit.apply.run_yaml import apply as apply_fit

    budget = read_budget(tokens)
    size = None if parameters is None else parse_parameters(parameters)
    with tempfile.TemporaryDirectory() as scratch:
        source = write_fit(scratch, fit.record) if isinstance(fit, Fit) else Path(fit)
        return apply_fit(
            source,
            budget,
            Path(run_yaml),
            output=None if output is None else Path(output),
            dry_run=dry_run,
            backup=backup,
            streams=streams,
            estimate=estimate,
            parameters=size,
        )


def _intervals(mixture: Mixture) -> Iterator[tuple[str, tuple[float | None, float | None]]]:
    for domain in mixture.proportions:
        yield domain, (None, None) if mixture.intervals is None else mixture.intervals[domain]


def _refit(record: FitRecord, out: Path) -> MixingLaw:
    """Fit the law of a record again to the runs that the record names."""
    from mixscale.contracts.sweep_record import sweep_records
    from mixscale.fit.inputs.records import bits_per_nat, runs_from_records
    from mixscale.fit.mixing_law import choose

    named = set(record.run_ids)
    records = [r for r in sweep_records(out, str(record.experiment)) if r.run_id in named]
    if len(records) < len(named):
        raise UserError(
            f"{out / 'runs'}: {len(named) - len(records)} runs of fit {record.fit_id} are gone; "
            "fit the experiment again"
        )
    runs = runs_from_records(records, record.objective)
    bits = bits_per_nat(records, runs.validation)
    return choose(runs, record.law, record.objective, bits)
