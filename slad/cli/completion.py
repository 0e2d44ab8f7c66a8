"""`slad completion`: the script that lets a shell complete commands, options, tickets and tenants."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from slad.cli.failures import WrongInput

VARIABLE = "_SLAD_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script.

    For bash, in ~/.bashrc: eval "$(slad completion bash)". For zsh, in ~/.zshrc, the same with zsh. For fish:
    slad completion fish > ~/.config/fish/completions/slad.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise WrongInput(f"no completion for {shell}")
    main = click.get_current_context().find_root().command
    click.echo(kind(main, {}, "slad", VARIABLE).source())
