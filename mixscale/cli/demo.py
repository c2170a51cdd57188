"""The command that shows all of it."""

from __future__ import annotations

from pathlib import Path

import click

from mixscale.cli.options import FILE, json_option, workers_option
from mixscale.cli.output import note, print_json
from mixscale.runtime.extras import require


@click.command()
@click.option("--out", type=FILE, default=Path("mixscale-demo"), show_default=True)
@workers_option
@json_option
def demo(out: Path, workers: int | None, as_json: bool) -> None:
    """Do all of it once, offline, on text found on this machine (at most 10 minutes).

    \b
    Example:
      mixscale demo --out mixscale-demo
    """
    require("train", "mixscale demo")
    from mixscale.demo.run import run_demo

    result = run_demo(out, workers=workers, report=note if as_json else click.echo)
    if as_json:
        print_json(result)
