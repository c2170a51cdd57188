"""The commands about fits: fit, apply, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixscale.cli.options import (
    FILE,
    MetricName,
    ParameterCount,
    TokenBudget,
    details_option,
    json_option,
)
from mixscale.cli.output import print_json, print_parts

if TYPE_CHECKING:
    from mixscale.contracts.fit_record import FitRecord


@click.command()
@click.argument("experiment", type=FILE, required=False)
@click.option("--law", default="auto", show_default=True, help="Mixing law, or auto.")
@click.option(
    "--bootstrap", type=click.IntRange(min=0), default=1000, show_default=True, help="Resamples."
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the resamples.")
@click.option(
    "--mixtures", type=FILE, multiple=True, help="Table of mixtures, instead of EXPERIMENT."
)
@click.option(
    "--losses", type=FILE, multiple=True, help="Table of losses that goes with --mixtures."
)
@click.option(
    "--table",
    type=FILE,
    multiple=True,
    help="One table with both, instead of --mixtures and --losses.",
)
@click.option(
    "--domains", multiple=True, metavar="PATTERN", help="Columns with shares, if no name tells."
)
@click.option(
    "--results", multiple=True, metavar="PATTERN", help="Columns with losses, if no name tells."
)
@click.option("--key", metavar="COLUMN", help="Column that names the run in both tables.")
@click.option("--size", metavar="COLUMN", help="Column with the model's parameters, if several.")
@click.option(
    "--tokens-per-step", type=TokenBudget(), help="Tokens of a step, if the table has steps alone."
)
@click.option("--keep-early", is_flag=True, help="Fit to the first checkpoints of runs, too.")
@click.option("--predict", type=FILE, help="Table of mixtures to predict the losses of.")
@click.option("--out", type=FILE, help="Folder for the results of --mixtures.")
@click.option("--settings", type=FILE, help="YAML with objective, constraints, targets.")
@click.option(
    "--tokens", type=TokenBudget(), help="Tokens of every run, if the table does not tell."
)
@click.option(
    "--targets", metavar="T[@P],T", help="Runs to come: tokens, @ parameters of the model."
)
@click.option("--objective", type=MetricName(), help="What to improve.")
@click.option("--weight", multiple=True, metavar="V=X", help="Weight of a domain, task or family.")
@click.option("--weights", type=FILE, help="Table with the weights of validation domains.")
@click.option(
    "--higher-is-better", multiple=True, metavar="PATTERN", help="Results of which more is better."
)
@click.option(
    "--lower-is-better", multiple=True, metavar="PATTERN", help="Results of which less is better."
)
@click.option(
    "--family", multiple=True, metavar="F=V,V", help="Family of tasks; the objective is their mean."
)
@click.option("--families", type=FILE, help="YAML with a list of patterns for each family.")
@click.option("--drop", multiple=True, metavar="PATTERN", help="Results to leave aside.")
@click.option(
    "--no-worse", multiple=True, metavar="[V=]X", help="Result V may get worse by X at most."
)
@click.option("--floor", multiple=True, metavar="[D=]SHARE", help="Least share of all, or of D.")
@click.option("--ceiling", multiple=True, metavar="[D=]SHARE", help="Largest share, likewise.")
@click.option("--fix", multiple=True, metavar="D=SHARE", help="Share of D that is given.")
@click.option("--max-epochs", type=float, help="How often a domain may repeat in a target.")
@click.option("--available", multiple=True, metavar="D=TOKENS", help="Tokens there are of D.")
@click.option("--prior", metavar="MIXTURE", help="What --max-kl measures from.")
@click.option("--max-kl", type=float, help="Largest divergence from the prior, nats.")
@click.option(
    "--max-extrapolation",
    type=float,
    help="How far beyond the runs to go, in times their largest shares and distances (1.25).",
)
@click.option("--current", metavar="MIXTURE", help="The mixture in use, which gains are over.")
@click.option("--risk", type=float, help="Chance of a loss up to which a change is advised.")
@details_option
@json_option
def fit(
    experiment: Path | None,
    law: str,
    bootstrap: int,
    seed: int | None,
    mixtures: tuple[Path, ...],
    losses: tuple[Path, ...],
    table: tuple[Path, ...],
    predict: Path | None,
    out: Path | None,
    settings: Path | None,
    details: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit a mixing law to the runs of EXPERIMENT, or to tables.

    Options from --domains to --risk ask about tables; for an experiment, experiment.yaml says
    it. A MIXTURE is uniform, natural (by --available) or D=SHARE,D=SHARE. D is a training domain, V
    a validation domain or task, or a pattern of their names ('minerva_*', 'acc:*'). Tables of one
    kind (other sizes, more runs) may be given together: repeat the option. A table may have a row
    for each checkpoint, and for each validation domain (columns valid_domain and loss); runs of
    several model sizes need a column such as parameters.
    Without --floor every domain keeps a little: 1 %, less where they are many.
    The answer is printed first: the mixture, what it brings, what that rests on, what to do next.
    --details adds how the tables were read, the laws compared, and all that limits the result.
    A token budget that the constraints leave no mixture for ends with status 2, after the others
    are written. --settings takes the same as YAML, with the keys of experiment.yaml, and
    groups of domains, too; an option wins over the file.

    \b
    Examples:
      mixscale fit experiment.yaml
      mixscale fit --mixtures mixtures.csv --losses losses.csv --law loglinear
      mixscale fit --table runs.csv --domains 'share_*' --results '*_loss'
      mixscale fit --table 70M.csv --table 160M.csv --tokens-per-step 1M --targets 300B@7B,1T@70B
      mixscale fit --mixtures m.csv --losses l.csv --tokens 1B --targets 100B,1T \\
          --objective perplexity --floor 0.01 --floor c4=0.05 --fix wiki=0.1 \\
          --max-epochs 4 --available wiki=4B --available c4=200B --predict candidates.csv
      mixscale fit --mixtures ratios.csv --losses tasks.csv --higher-is-better 'hellaswag*' \\
          --family 'math=minerva_*,gsm8k' --family code=humaneval,mbpp --no-worse '*=0.01'
    """
    from mixscale.contracts.fit_record import read_fit

    if table:
        if mixtures or losses:
            raise click.UsageError("give --table, or both --mixtures and --losses")
        mixtures = losses = table
    asked = {name: value for name, value in options.items() if value not in (None, (), False)}
    if experiment is not None:
        _only_for_tables(mixtures, losses, predict, out, settings, asked)
        from mixscale.fit.fit_experiment import fit_experiment

        folder = fit_experiment(experiment, law=law, bootstrap=bootstrap, seed=seed)
    elif not (mixtures and losses):
        raise click.UsageError("give EXPERIMENT, or --table, or both --mixtures and --losses")
    else:
        from mixscale.fit.fit_tables import fit_tables
        from mixscale.fit.inputs.options import Options

        folder = fit_tables(
            mixtures,
            losses,
            law=law,
            predict=predict,
            out=out,
            bootstrap=bootstrap,
            seed=seed,
            settings=settings,
            options=Options(**asked),
        )
    record = read_fit(folder)
    if as_json:
        print_json({"folder": str(folder), **record.model_dump(mode="json")})
        _refuse_unanswered(record, folder)
        return
    from mixscale.fit.output import terminal

    print_parts(terminal.summary(record, folder))
    if details:
        click.echo()
        print_parts(terminal.details(record))
    more = "" if details else "; more with --details"
    click.echo(f"\nwrote {folder} (report.html is its page{more})")
    _refuse_unanswered(record, folder)


def _refuse_unanswered(record: FitRecord, folder: Path) -> None:
    """End with an error where a target has no mixture; the others are written."""
    from mixscale.contracts.config import format_tokens
    from mixscale.contracts.errors import UserError

    if record.unanswered:
        lines = [
            f"no mixture for {format_tokens(budget)} tokens: {reason}"
            for budget, reason in record.unanswered.items()
        ]
        raise UserError("\n".join([*lines, f"{folder} holds what could be answered"]))


def _only_for_tables(
    mixtures: tuple[Path, ...],
    losses: tuple[Path, ...],
    predict: Path | None,
    out: Path | None,
    settings: Path | None,
    asked: dict[str, Any],
) -> None:
    if mixtures or losses:
        raise click.UsageError("give EXPERIMENT, or --table, or both --mixtures and --losses")
    files = {"predict": predict, "out": out, "settings": settings}
    given = [name for name, value in files.items() if value is not None] + list(asked)
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise click.UsageError(
            f"{names}: only with --mixtures or --table; experiment.yaml says it for EXPERIMENT"
        )


@click.command()
@click.argument("fit_folder", metavar="FIT", type=FILE)
@click.argument("run", type=FILE)
@click.option("--tokens", type=TokenBudget(), required=True, help="Token budget, for example 300B.")
@click.option(
    "--parameters",
    type=ParameterCount(),
    help="Of the run's model, for example 7B; those of the largest proxy runs if not given.",
)
@click.option("--output", type=FILE, help="File to write instead of RUN itself.")
@click.option("--dry-run", is_flag=True, help="Show the change, write nothing.")
@click.option("--no-backup", is_flag=True, help="Keep no RUN.bak (RUN.bak.1 ...).")
@click.option("--stream", "streams", multiple=True, metavar="DOMAIN=STREAM", help="Map a name.")
@click.option(
    "--estimate",
    type=click.Choice(["recommended", "optimum"]),
    default="recommended",
    show_default=True,
    help="The mixture that the evidence supports, or the law's optimum whatever the noise.",
)
@json_option
def apply(
    fit_folder: Path,
    run: Path,
    tokens: int,
    parameters: int | None,
    output: Path | None,
    dry_run: bool,
    no_backup: bool,
    streams: tuple[str, ...],
    estimate: Any,
    as_json: bool,
) -> None:
    """Write the mixture of FIT at a token budget into the streams of RUN (run.yaml).

    Only the `proportion` values and one comment line change: two YAML readers read the result again
    before it is written. The recommended mixture is the one that the experiment started from where
    the advice is to keep it, else a step from it towards the optimum, as long as the noise of the
    runs allows.

    \b
    Example:
      mixscale apply shardset/fits/demo-1a2b3c --tokens 300B run.yaml --dry-run
      mixscale apply shardset/fits/demo-1a2b3c --tokens 300B --parameters 7B run.yaml
    """
    from mixscale.fit.apply.run_yaml import apply as apply_fit

    result = apply_fit(
        fit_folder,
        tokens,
        run,
        output=output,
        dry_run=dry_run,
        backup=not no_backup,
        streams=_mapping(streams),
        estimate=estimate,
        parameters=parameters,
    )
    if as_json:
        print_json(vars(result))
        return
    from mixscale.fit.output.applied import applied_lines

    for line in applied_lines(result, tokens, dry_run=dry_run):
        click.echo(line)
    if result.diff:
        click.echo()
        click.echo(result.diff, nl=False)


def _mapping(pairs: tuple[str, ...]) -> dict[str, str] | None:
    mapping = {}
    for pair in pairs:
        domain, separator, stream = pair.partition("=")
        if not (domain and separator and stream):
            raise click.UsageError(f"--stream {pair}: write DOMAIN=STREAM")
        mapping[domain] = stream
    return mapping or None
