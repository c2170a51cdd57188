"""The page of commands, from the command line itself."""

from __future__ import annotations

import inspect

import click

from mixscale.cli.main import cli
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "reference" / "commands.md"
_INTRODUCTION = """\
# Commands

What `mixscale COMMAND --help` says, for every command. `python -m tests.docs.printed` writes this
page from the command line; how the commands go together is in the [tutorial](../tutorial.md).

| command | |
|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| [`mixscale {name}`](#mixscale-{name}) | {_summary(command)} |\n"
        for name, command in cli.commands.items()
    ]
    sections = [_section(name, command) for name, command in cli.commands.items()]
    return _INTRODUCTION + "".join(rows) + "\n" + "\n".join(sections)


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(limit=1000).replace("|", "\\|")


def _section(name: str, command: click.Command) -> str:
    # As the command line makes it: what help is called is inherited, and kept by the command.
    above = click.Context(cli, info_name="mixscale", **cli.context_settings)
    context = click.Context(command, parent=above, info_name=name, max_content_width=100)
    usage = " ".join([f"mixscale {name}", *command.collect_usage_pieces(context)])
    options = [
        f"| `{record[0]}` | {_in_a_cell(record[1])} |"
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(context)) is not None
    ]
    parts = [f"## `mixscale {name}`", f"```text\n{usage}\n```"]
    parts += _prose(command.help or "")
    parts.append("\n".join(["| option | |", "|---|---|", *options]))
    return "\n\n".join(parts) + "\n"


def _prose(help_text: str) -> list[str]:
    """Paragraphs of a help text; what keeps its lines becomes a block."""
    parts = []
    for paragraph in inspect.cleandoc(help_text).split("\n\n"):
        if not paragraph.startswith("\b\n"):
            parts.append(paragraph.replace("<", "&lt;"))
            continue
        title, _, lines = paragraph.removeprefix("\b\n").partition("\n")
        parts.append(title)
        code = inspect.cleandoc(" \n" + lines).strip("\n")
        parts.append(f"<!-- needs: files of yours -->\n\n```bash\n{code}\n```")
    return parts


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
