"""The command that says what is installed, what there is to compute with, and what is missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mixscale.cli.options import json_option
from mixscale.cli.output import print_json, print_table

if TYPE_CHECKING:
    from mixscale.doctor.examine import Examination


@click.command()
@click.option("--torch", "ask_torch", is_flag=True, help="Ask torch for devices in any case.")
@json_option
def doctor(ask_torch: bool, as_json: bool) -> None:
    """Say what is installed, which devices there are, and what is missing for which command.

    Exit status 1 when build, sql or fit could not work here, or temporary files cannot be written.
    Torch is started (in another process) only where a GPU is visible, or with --torch.

    \b
    Examples:
      mixscale doctor
      mixscale doctor --json
    """
    from mixscale.doctor.examine import examine

    found = examine(ask_torch=ask_torch)
    if as_json:
        print_json(found.as_json())
    else:
        _show(found)
    if not found.works:
        sys.exit(1)


def _show(found: Examination) -> None:
    from rich.markup import escape
    from rich.table import Table

    click.echo(f"mixscale {found.version or '(a checkout that is not installed)'}\n")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    styles = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}
    for finding in found.findings:
        text = finding.text if finding.remedy is None else f"{finding.text}\n-> {finding.remedy}"
        table.add_row(f"[{styles[finding.state]}]{finding.state}[/]", finding.topic, escape(text))
    print_table(table)
    click.echo("")
    works = [state.command for state in found.commands if state.install is None]
    commands = Table(box=None, show_header=False, pad_edge=False)
    commands.add_column(no_wrap=True)
    commands.add_column(overflow="fold")
    commands.add_row("these work" if found.works else "nothing missing for", ", ".join(works))
    lacking: dict[str, list[str]] = {}
    for state in found.commands:
        if state.install is not None:
            lacking.setdefault(state.install, []).append(state.command)
    for install, names in lacking.items():
        commands.add_row("these need", f"{', '.join(names)}\n-> {escape(install)}")
    print_table(commands)
