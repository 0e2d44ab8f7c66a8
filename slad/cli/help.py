"""`slad help` and `slad version`; and the example that the help of every command ends with."""

from __future__ import annotations

import click

from slad import __version__


def example(*lines: str) -> str:
    """The epilog of a command: its examples, which click must not wrap."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])


@click.command("help", epilog=example("slad help tokens create"))
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of COMMAND, or of slad."""
    context = ctx.find_root()
    for word in words:
        group = context.command
        if not isinstance(group, click.Group):
            context.fail(f"{context.command_path!r} has no commands of its own")
        _, command, _ = group.resolve_command(context, [word])
        assert command is not None
        context = click.Context(command, info_name=word, parent=context)
    click.echo(context.get_help())


@click.command(epilog=example("slad version"))
def version() -> None:
    """Show the version."""
    click.echo(f"slad, version {__version__}")
