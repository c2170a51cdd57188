"""The door: one command line, whose work the rooms do."""

from __future__ import annotations

import difflib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from mixscale.contracts.config import format_tokens, parse_tokens
from mixscale.contracts.errors import UserError

if TYPE_CHECKING:
    from mixscale.shards.sql.query import Format

_FILE = click.Path(path_type=Path)
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Door(click.Group):
    """A command group that suggests the nearest name for a mistyped one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(self.list_commands(ctx))
            ctx.fail(f"unknown command {name!r}.{hint} Commands: {known}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they are used."""
        return list(self.commands)


class Tokens(click.ParamType):
    """A token budget on the command line: 300B, 1.2M, 50000."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the number, or say how to write one."""
        try:
            tokens = parse_tokens(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not isinstance(tokens, int) or tokens <= 0:
            self.fail(f"{value!r} is not a positive number of tokens", param, ctx)
        return tokens


class MetricName(click.ParamType):
    """The name of a metric, one of another package included."""

    name = "metric"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """List the metrics, where the help is asked for and not before."""
        from mixscale.contracts.metrics import metrics

        return f"[{'|'.join(metrics())}]"


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _print_table(table: Any) -> None:
    from rich.console import Console

    console = Console(soft_wrap=False)
    # A pipe has no width: a table must not lose its columns there.
    console.width = console.width if console.is_terminal else 200
    console.print(table)


def _say(text: str) -> None:
    click.echo(text, err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
workers_option = click.option(
    "--workers", type=click.IntRange(min=1), help="How many at a time; one for each core or GPU."
)
executor_option = click.option(
    "--executor",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Work on this machine, or on the Ray cluster of RAY_ADDRESS or `ray start`.",
)
out_option = click.option(
    "--out", type=_FILE, help="Folder with runs/, sweeps/ and fits/, if not the shard set."
)


@click.group(cls=Door, context_settings=_SETTINGS, no_args_is_help=True)
@click.version_option(package_name="mixscale")
def cli() -> None:
    """Find the domain mixture of a large pre-training run from small proxy runs.

    \b
    Raw text becomes a shard set:      mixscale build corpus.yaml --out shardset
    Anyone can ask about it in SQL:    mixscale sql shardset "SELECT * FROM domains"
    Proxy runs measure each domain:    mixscale sweep experiment.yaml
    A law carries the best mixture
    to the token budget of your run:   mixscale fit experiment.yaml
                                       mixscale apply shardset/fits/FIT --tokens 300B run.yaml

    All of it on this machine, offline: mixscale demo
    """


@cli.command()
@click.argument("corpus", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="Folder of the shard set.")
@workers_option
@executor_option
@click.option("--strict", is_flag=True, help="Stop at a record that cannot be read.")
@click.option(
    "--upload",
    "remote",
    metavar="ADDRESS",
    help="Copy the shard set there afterwards: s3://…, gs://…, oci://…, azure://…, a folder.",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@json_option
def build(
    corpus: Path,
    out: Path,
    workers: int | None,
    executor: str,
    strict: bool,
    remote: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make a shard set from raw text, as CORPUS (corpus.yaml) describes.

    Interrupted, the same command goes on where it stopped. A record that cannot be read is
    counted and kept as a row of `documents`; nothing is lost silently.

    \b
    Examples:
      mixscale build corpus.yaml --out shardset
      mixscale build corpus.yaml --out shardset --upload s3://bucket/shardset
      RAY_ADDRESS=head:6379 mixscale build corpus.yaml --out /shared/shardset --executor ray
    """
    from mixscale.ingest.runtime.local import warm_up

    warm_up(executor, workers)
    from mixscale.ingest.build import build as build_shardset

    if remote is not None:
        from mixscale.shards.storage.upload import check_address

        # An address that cannot be written to is better known before the work than after it.
        check_address(remote)

    shardset = build_shardset(
        corpus, out, workers=workers, executor=executor, strict=strict, progress=not quiet
    )
    files = _upload(out, remote)
    if as_json:
        _print_json(
            {"shardset": str(out), "uploaded_files": files, **shardset.model_dump(mode="json")}
        )
        return
    _show_domains(out)
    click.echo(f"wrote {out} ({shardset.sequence_length} tokens a sample)")
    if files is not None:
        click.echo(f"copied to {remote}: {files} files" if files else f"{remote} has it already")


def _upload(out: Path, remote: str | None) -> int | None:
    if remote is None:
        return None
    from mixscale.shards.storage.upload import upload

    return upload(out, remote)


@cli.command()
@click.argument("shardset", type=_FILE)
@json_option
def stats(shardset: Path, as_json: bool) -> None:
    """Show the domain table of SHARDSET: documents, tokens, lengths, duplicates, rejects.

    \b
    Example:
      mixscale stats shardset
    """
    if as_json:
        from mixscale.shards.sql.domain_table import as_json as plain_rows
        from mixscale.shards.sql.domain_table import domain_table

        _print_json(plain_rows(domain_table(shardset)))
    else:
        _show_domains(shardset)


def _show_domains(shardset: Path) -> None:
    from mixscale.shards.sql.domain_table import domain_table, render

    _print_table(render(domain_table(shardset)))


@cli.command()
@click.argument("shardset", type=_FILE)
@click.argument("query", required=False)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
)
@click.option("--output", type=_FILE, help="File to write instead of standard output.")
@click.option("--examples", is_flag=True, help="Print example queries.")
@out_option
@json_option
def sql(
    shardset: Path,
    query: str | None,
    output_format: str,
    output: Path | None,
    examples: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Answer one SQL QUERY about SHARDSET, or ask for queries at a prompt.

    Views: documents, shards, domains, rejects; after training runs, run_domains,
    learning_curves; after fitting fits, mixtures. Nothing can be changed here.

    \b
    Examples:
      mixscale sql shardset "SELECT domain, tokens FROM domains WHERE split = 'train'"
      mixscale sql shardset "SELECT * FROM rejects" --format csv --output rejects.csv
      mixscale sql shardset
    """
    if examples:
        from mixscale.shards.sql.examples import EXAMPLES

        for example in EXAMPLES.values():
            click.echo(f"-- {example.question}\n{example.sql.strip()};\n")
    elif query is None:
        from mixscale.shards.sql.query import prompt

        prompt(shardset, out=out)
    else:
        from mixscale.shards.sql.query import run_sql

        chosen = cast("Format", "json" if as_json else output_format)
        rows = run_sql(shardset, query, format=chosen, output=output, out=out)
        if output is not None:
            _say(f"wrote {output} ({rows} rows)")


@cli.command()
@click.argument("shardset", type=_FILE)
@json_option
def verify(shardset: Path, as_json: bool) -> None:
    """Check SHARDSET: hashes, counts, the index against documents and shards.

    Exit status 1 when a problem is found.

    \b
    Example:
      mixscale verify shardset
    """
    from mixscale.shards.verify.verify import verify as verify_shardset

    report = verify_shardset(shardset, progress=not as_json)
    if as_json:
        _print_json(asdict(report))
    else:
        for problem in report.problems:
            click.echo(f"{problem.place}: {problem.message}")
        verdict = "sound" if report.sound else f"{len(report.problems)} problems"
        click.echo(
            f"{shardset}: {verdict}; read {report.records} records, {report.streams} streams, "
            f"{report.shards} shards of {report.shard_bytes} bytes"
        )
    if not report.sound:
        sys.exit(1)


gpus_per_run_option = click.option(
    "--gpus-per-run",
    type=click.FloatRange(0, 1),
    help="Share of a GPU for each run, as 0.25: four runs on one GPU; 0: train on the processor.",
)


@cli.command()
@click.argument("experiment", type=_FILE)
@workers_option
@gpus_per_run_option
@click.option(
    "--price-per-hour",
    type=click.FloatRange(min=0, min_open=True),
    help="Of a GPU, or of a machine without; also a key of EXPERIMENT.",
)
@click.option("--no-calibrate", is_flag=True, help="Do not measure the speed of a run.")
@json_option
def plan(
    experiment: Path,
    workers: int | None,
    gpus_per_run: float | None,
    price_per_hour: float | None,
    no_calibrate: bool,
    as_json: bool,
) -> None:
    """Show the runs of EXPERIMENT (experiment.yaml): tokens, epochs over domains, time, cost.

    The time comes from short runs, about half a minute in all. What the shard set cannot give is
    refused here.

    \b
    Example:
      mixscale plan experiment.yaml --price-per-hour 2.5
    """
    from mixscale.train.sweep.plan import plan as plan_experiment
    from mixscale.train.sweep.plan import render, summary

    result = plan_experiment(
        experiment,
        workers=workers,
        measure=not no_calibrate,
        price_per_hour=price_per_hour,
        gpus_per_run=gpus_per_run,
    )
    if as_json:
        _print_json(result.as_json())
        return
    _print_table(render(result))
    click.echo(summary(result))


@cli.command()
@click.argument("experiment", type=_FILE)
@workers_option
@executor_option
@gpus_per_run_option
@json_option
def sweep(
    experiment: Path,
    workers: int | None,
    executor: str,
    gpus_per_run: float | None,
    as_json: bool,
) -> None:
    """Run the proxy runs of EXPERIMENT that have no record yet.

    Interrupted or killed, the same command runs what is missing. Exit status 1 when a run left
    no result.

    \b
    Examples:
      mixscale sweep experiment.yaml --workers 2
      RAY_ADDRESS=head:6379 mixscale sweep experiment.yaml --executor ray --gpus-per-run 0.25
    """
    from mixscale.train.sweep.sweep import render
    from mixscale.train.sweep.sweep import sweep as run_sweep

    result = run_sweep(
        experiment, workers=workers, report=_say, executor=executor, gpus_per_run=gpus_per_run
    )
    if as_json:
        _print_json(result.as_json())
    else:
        _print_table(render(result))
        click.echo(result.text())
    if not result.is_complete:
        sys.exit(1)


@cli.command()
@click.argument("run", type=_FILE)
@click.option("--out", type=_FILE, help="Folder that gets runs/<run id>; default: that of RUN.")
@json_option
def train(run: Path, out: Path | None, as_json: bool) -> None:
    """Train one model as RUN (run.yaml, in LLM Foundry's layout) describes.

    On several GPUs: composer -n 8 -m mixscale.train run.yaml

    \b
    Example:
      mixscale train run.yaml
    """
    from mixscale.train.run.from_file import render, train_file

    record, folder = train_file(run, out)
    if as_json:
        _print_json({"folder": str(folder), **record.model_dump(mode="json")})
    else:
        _print_table(render(record))
        reason = "" if record.error is None else f": {record.error}"
        click.echo(f"{record.status}{reason}; wrote {folder}")
    if record.status != "finished":
        sys.exit(1)


@cli.command()
@click.argument("source", metavar="CHECKPOINT", type=_FILE)
@click.option("--out", type=_FILE, required=True, help="New folder for the model.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Type of the weights in the file.",
)
@json_option
def export(source: Path, out: Path, precision: str, as_json: bool) -> None:
    """Write a trained model as a Hugging Face folder: config, safetensors, tokenizer.

    CHECKPOINT is a checkpoint of Composer, a folder of them (the latest is taken), or runs/<run id>
    of a run with `save_folder`.

    \b
    Example:
      mixscale export checkpoints/latest-rank0.pt --out model
    """
    from mixscale.train.run.export import Precision, export_checkpoint

    checkpoint = export_checkpoint(source, out, cast("Precision", precision))
    if as_json:
        _print_json({"checkpoint": str(checkpoint), "folder": str(out)})
    else:
        click.echo(f"wrote {out} from {checkpoint}")


@cli.command()
@click.argument("experiment", type=_FILE, required=False)
@click.option("--law", default="auto", show_default=True, help="Mixing law, or auto.")
@click.option(
    "--bootstrap", type=click.IntRange(min=0), default=1000, show_default=True, help="Resamples."
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the resamples.")
@click.option("--mixtures", type=_FILE, help="Table of mixtures, instead of EXPERIMENT.")
@click.option("--losses", type=_FILE, help="Table of losses that goes with --mixtures.")
@click.option("--predict", type=_FILE, help="Table of mixtures to predict the losses of.")
@click.option("--out", type=_FILE, help="Folder for the results of --mixtures.")
@click.option("--settings", type=_FILE, help="YAML with objective, constraints, targets.")
@click.option("--tokens", type=Tokens(), help="Tokens of every run, if the table does not tell.")
@click.option("--targets", metavar="T,T", help="Token budgets of the run to come.")
@click.option("--objective", type=MetricName(), help="What to minimise.")
@click.option("--weight", multiple=True, metavar="V=X", help="Weight of a validation domain.")
@click.option("--floor", multiple=True, metavar="[D=]SHARE", help="Least share of all, or of D.")
@click.option("--ceiling", multiple=True, metavar="[D=]SHARE", help="Largest share, likewise.")
@click.option("--fix", multiple=True, metavar="D=SHARE", help="Share of D that is given.")
@click.option("--max-epochs", type=float, help="How often a domain may repeat in a target.")
@click.option("--available", multiple=True, metavar="D=TOKENS", help="Tokens there are of D.")
@click.option("--prior", metavar="MIXTURE", help="What --max-kl measures from.")
@click.option("--max-kl", type=float, help="Largest divergence from the prior, nats.")
@click.option("--current", metavar="MIXTURE", help="The mixture in use, which gains are over.")
@json_option
def fit(
    experiment: Path | None,
    law: str,
    bootstrap: int,
    seed: int | None,
    mixtures: Path | None,
    losses: Path | None,
    predict: Path | None,
    out: Path | None,
    settings: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit a mixing law to the runs of EXPERIMENT, or to two tables.

    Options from --predict to --current ask about tables; for an experiment, experiment.yaml says
    it. A MIXTURE is uniform, natural (by --available) or D=SHARE,D=SHARE. D is a training domain, V
    a validation domain. --settings takes the same as YAML, with the keys of experiment.yaml, and
    groups of domains, too; an option wins over the file.

    \b
    Examples:
      mixscale fit experiment.yaml
      mixscale fit --mixtures mixtures.csv --losses losses.csv --law loglinear
      mixscale fit --mixtures m.csv --losses l.csv --tokens 1B --targets 100B,1T \\
          --objective perplexity --floor 0.01 --floor c4=0.05 --fix wiki=0.1 \\
          --max-epochs 4 --available wiki=4B --available c4=200B --predict candidates.csv
    """
    from mixscale.contracts.fit_record import read_fit

    asked = {name: value for name, value in options.items() if value not in (None, ())}
    if experiment is not None:
        _only_for_tables(mixtures, losses, predict, out, settings, asked)
        from mixscale.fit.fit_experiment import fit_experiment

        folder = fit_experiment(experiment, law=law, bootstrap=bootstrap, seed=seed)
    elif mixtures is None or losses is None:
        raise click.UsageError("give EXPERIMENT, or both --mixtures and --losses")
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
        _print_json({"folder": str(folder), **record.model_dump(mode="json")})
        return
    from mixscale.fit.output.terminal import lines, render

    _print_table(render(record))
    for line in lines(record):
        click.echo(line)
    click.echo(f"wrote {folder}")


def _only_for_tables(
    mixtures: Path | None,
    losses: Path | None,
    predict: Path | None,
    out: Path | None,
    settings: Path | None,
    asked: dict[str, Any],
) -> None:
    if mixtures is not None or losses is not None:
        raise click.UsageError("give EXPERIMENT, or both --mixtures and --losses")
    files = {"predict": predict, "out": out, "settings": settings}
    given = [name for name, value in files.items() if value is not None] + list(asked)
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise click.UsageError(
            f"{names}: only with --mixtures; experiment.yaml says it for EXPERIMENT"
        )


@cli.command()
@click.argument("fit_folder", metavar="FIT", type=_FILE)
@click.argument("run", type=_FILE)
@click.option("--tokens", type=Tokens(), required=True, help="Token budget, for example 300B.")
@click.option("--output", type=_FILE, help="File to write instead of RUN itself.")
@click.option("--dry-run", is_flag=True, help="Show the change, write nothing.")
@click.option("--no-backup", is_flag=True, help="Keep no RUN.bak.")
@click.option("--stream", "streams", multiple=True, metavar="DOMAIN=STREAM", help="Map a name.")
@click.option(
    "--estimate",
    type=click.Choice(["recommended", "optimum"]),
    default="recommended",
    show_default=True,
    help="The mixture that the evidence bears, or the law's optimum whatever the noise.",
)
@json_option
def apply(
    fit_folder: Path,
    run: Path,
    tokens: int,
    output: Path | None,
    dry_run: bool,
    no_backup: bool,
    streams: tuple[str, ...],
    estimate: Any,
    as_json: bool,
) -> None:
    """Write the mixture of FIT at a token budget into the streams of RUN (run.yaml).

    Only the `proportion` values and one comment line change. The recommended mixture is the one
    that the experiment started from where the advice is to keep it, else a step from it towards the
    optimum, as long as the noise of the runs allows.

    \b
    Example:
      mixscale apply shardset/fits/demo-1a2b3c --tokens 300B run.yaml --dry-run
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
    )
    if as_json:
        _print_json(vars(result))
        return
    click.echo(result.diff or "the proportions are these already", nl=False)
    for domain, reason in result.binding.items():
        click.echo(f"{domain}: {reason}")
    click.echo(f"advice: {result.advice}")
    verb = "would write" if dry_run else "wrote"
    click.echo(f"{verb} {result.path}, {result.meaning} for {format_tokens(tokens)} tokens")
    if result.backup is not None:
        click.echo(f"kept the old file as {result.backup}")


def _mapping(pairs: tuple[str, ...]) -> dict[str, str] | None:
    mapping = {}
    for pair in pairs:
        domain, separator, stream = pair.partition("=")
        if not (domain and separator and stream):
            raise click.UsageError(f"--stream {pair}: write DOMAIN=STREAM")
        mapping[domain] = stream
    return mapping or None


@cli.command()
@click.argument("fit_folder", metavar="FIT", type=_FILE)
@json_option
def report(fit_folder: Path, as_json: bool) -> None:
    """Draw the page of FIT again: report.html with its figures.

    \b
    Example:
      mixscale report shardset/fits/demo-1a2b3c
    """
    from mixscale.fit.output.page import report as write_report

    page = write_report(fit_folder)
    if as_json:
        _print_json({"report": str(page)})
    else:
        click.echo(f"wrote {page}")


@cli.command()
@click.option("--out", type=_FILE, default=Path("mixscale-demo"), show_default=True)
@workers_option
@json_option
def demo(out: Path, workers: int | None, as_json: bool) -> None:
    """Do all of it once, offline, on text found on this machine (at most 10 minutes).

    \b
    Example:
      mixscale demo --out mixscale-demo
    """
    from mixscale.demo.run import tell

    result = tell(out, workers=workers, say=_say if as_json else click.echo)
    if as_json:
        _print_json(result)


def main() -> None:
    """Run the command line; a user's mistake becomes one message on standard error."""
    try:
        cli.main(standalone_mode=False)
    except UserError as error:
        _fail(str(error))
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone, as in `mixscale sql … | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")


def _fail(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(2)
