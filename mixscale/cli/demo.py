"""The command that shows all of it."""

from __future__ import annotations

from pathlib import Path

import click

from mixscale.cli.options import FILE, json_option, workers_option
from mixscale.cli.output import note, print_json
from mixscale.runtime.extras import require


@click.command()
@click.option("--out", type=FILE, default=Path("mixscale-demo"), show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=17,
    show_default=True,
    help="Of initialisations and orders of samples.",
)
@workers_option
@json_option
def demo(out: Path, seed: int, workers: int | None, as_json: bool) -> None:
    """Do all of it once, offline, on text found on this machine (at most 6 minutes on 2 cores).

    \b
    Example:
      mixscale demo --out mixscale-demo
    """
    require("train", "mixscale demo")
    from mixscale.demo.run import run_demo

    result = run_demo(out, seed=seed, workers=workers, report=note if as_json else click.echo)
    if as_json:
        print_json(result)
