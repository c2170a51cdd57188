"""The command line: its group of commands, and what becomes of errors."""

from __future__ import annotations

import difflib
import os
import sys

import click

from mixscale.cli import (
    completion,
    demo,
    doctor,
    evaluation,
    fitting,
    init,
    report,
    shardset,
    training,
)
from mixscale.contracts.errors import UserError

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_COMMANDS = (
    init.init,
    shardset.build,
    shardset.stats,
    shardset.sql,
    shardset.verify,
    training.plan,
    training.sweep,
    training.train,
    evaluation.evaluate,
    evaluation.compare,
    training.export,
    fitting.fit,
    fitting.apply,
    report.report,
    demo.demo,
    doctor.doctor,
    completion.completion,
)
"""In the order in which they are used."""


class CommandGroup(click.Group):
    """A command group that suggests the nearest name for a mistyped one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        name = args[0]
        is_unknown = self.get_command(ctx, name) is None and not name.startswith("-")
        # While a shell asks for completions nothing is complained about.
        if is_unknown and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(self.list_commands(ctx))
            ctx.fail(f"unknown command {name!r}.{hint} Commands: {known}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they are used."""
        return list(self.commands)


@click.group(cls=CommandGroup, context_settings=_SETTINGS, no_args_is_help=True)
@click.version_option(package_name="mixscale")
def cli() -> None:
    """Find the domain mixture of a large pre-training run from small proxy runs.

    \b
    Raw text becomes a shard set:      mixscale build corpus.yaml --out shardset
    Anyone can ask about it in SQL:    mixscale sql shardset "SELECT * FROM domains"
    Proxy runs measure each domain:    mixscale sweep experiment.yaml
    A law projects the best mixture
    to the token budget of your run:   mixscale fit experiment.yaml
                                       mixscale apply shardset/fits/FIT --tokens 300B run.yaml

    \b
    A first corpus.yaml for your text:  mixscale init raw
    All of it on this machine, offline: mixscale demo
    What is installed, what is missing: mixscale doctor
    """


for _command in _COMMANDS:
    cli.add_command(_command)


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
