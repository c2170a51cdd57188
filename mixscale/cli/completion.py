"""The command that lets a shell complete commands, options and file names."""

from __future__ import annotations

import click

PROGRAM = "mixscale"
_VARIABLE = "_MIXSCALE_COMPLETE"
"""Click looks for a shell's question in a variable of this name, made of the program's."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script for SHELL that completes commands, options and file names.

    \b
    Examples:
      echo 'eval "$(mixscale completion bash)"' >> ~/.bashrc
      echo 'eval "$(mixscale completion zsh)"' >> ~/.zshrc
      mixscale completion fish > ~/.config/fish/completions/mixscale.fish
    """
    from click.shell_completion import get_completion_class

    chosen = get_completion_class(shell)
    assert chosen is not None
    completer = chosen(ctx.find_root().command, {}, PROGRAM, _VARIABLE)
    # `source` would start a bash for its version; the script may be for another machine.
    click.echo(completer.source_template % completer.source_vars())
