"""`slad completion`: the script with which a shell completes commands, options, tickets and tenants."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from slad.cli.exits import CommandError
from slad.cli.help import example

VARIABLE = "_SLAD_COMPLETE"


@click.command(
    epilog=example(
        'eval "$(slad completion bash)"', "slad completion fish > ~/.config/fish/completions/slad.fish"
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    Load it in ~/.bashrc or ~/.zshrc. For fish, save it as ~/.config/fish/completions/slad.fish.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise CommandError(f"there is no completion for {shell}")
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "slad", VARIABLE).source())
