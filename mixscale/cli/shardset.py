"""The commands about a shard set: build, stats, sql, verify."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from mixscale.cli.options import FILE, executor_option, json_option, out_option, workers_option
from mixscale.cli.output import note, print_json, print_table
from mixscale.runtime.extras import require

if TYPE_CHECKING:
    from mixscale.shards.sql.query import Format


@click.command()
@click.argument("corpus", type=FILE)
@click.option("--out", type=FILE, required=True, help="Folder of the shard set.")
@workers_option
@executor_option
@click.option("--strict", is_flag=True, help="Stop at a record that cannot be read.")
@click.option(
    "--max-malformed",
    metavar="SHARE",
    help="Stop when more of a domain's records cannot be read, such as 1%.",
)
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
    max_malformed: str | None,
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
    if executor == "ray":
        require("ray", "build --executor ray")
    if remote is not None:
        # Streaming writes to object stores.
        require("train", "build --upload")
    from mixscale.ingest.build import build as build_shardset

    if remote is not None:
        from mixscale.shards.storage.upload import check_address

        # An address that cannot be written to is better known before the work than after it.
        check_address(remote)

    shardset = build_shardset(
        corpus,
        out,
        workers=workers,
        executor=executor,
        strict=strict,
        max_malformed=max_malformed,
        progress=not quiet,
        own_process=True,
    )
    files = _upload(out, remote)
    if as_json:
        print_json(
            {"shardset": str(out), "uploaded_files": files, **shardset.model_dump(mode="json")}
        )
        return
    _show_domains(out)
    tokenizer = shardset.tokenizer
    begin = ""
    if tokenizer.bos_token is not None:
        begin = f"texts begin with {tokenizer.bos_token}, id {tokenizer.bos_token_id}, and "
    click.echo(
        f"wrote {out} ({shardset.sequence_length} tokens a sample, "
        f"{begin or 'texts '}end with {tokenizer.eos_token}, id {tokenizer.eos_token_id})"
    )
    if files is not None:
        click.echo(f"copied to {remote}: {files} files" if files else f"{remote} has it already")


def _upload(out: Path, remote: str | None) -> int | None:
    if remote is None:
        return None
    from mixscale.shards.storage.upload import upload

    return upload(out, remote)


@click.command()
@click.argument("shardset", type=FILE)
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

        print_json(plain_rows(domain_table(shardset)))
    else:
        _show_domains(shardset)


def _show_domains(shardset: Path) -> None:
    from mixscale.shards.sql.domain_table import domain_table, render

    print_table(render(domain_table(shardset)))


class _SqlCommand(click.Command):
    """A command whose argument may begin with a comment, which looks like an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Tell queries from options: an option is one word, maybe with a value behind `=`."""
        is_sql = re.compile(r"--(?![A-Za-z-]+(=|$))(?=.)", re.DOTALL)
        # White space before a query changes nothing but what it is taken for.
        return super().parse_args(ctx, [f" {arg}" if is_sql.match(arg) else arg for arg in args])


@click.command(cls=_SqlCommand)
@click.argument("shardset", type=FILE)
@click.argument("query", required=False)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
)
@click.option("--output", type=FILE, help="File to write instead of standard output.")
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
            note(f"wrote {output} ({rows} rows)")


@click.command()
@click.argument("shardset", type=FILE)
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
        print_json(asdict(report))
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
