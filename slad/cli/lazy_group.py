"""A group of commands that are imported when they are used: `slad serve` loads nothing of the others."""

from __future__ import annotations

import difflib
import errno
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import click
from click.exceptions import Exit, NoArgsIsHelpError
from click.shell_completion import CompletionItem

from slad.cli.exits import EXIT_CANNOT_START, EXIT_INTERRUPTED, EXIT_UNFORESEEN, CommandError

Section = tuple[str, Mapping[str, tuple[str, str]]]
"""A heading of the help, and its commands: name → ("module:attribute", one line about it)."""

DEBUG_VARIABLE: Final = "SLAD_DEBUG"

CANNOT_WRITE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What the system says when standard output cannot be written."""


class LazyGroup(click.Group):
    """Commands by section, from a table. Help and completion read the table and import nothing.

    An unexpected error ends a command with one line, or with its traceback in the log of a daemon.
    """

    def __init__(self, *args: Any, sections: Sequence[Section], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        self._table = {name: entry for _, commands in sections for name, entry in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in self._table:
            return None
        where, about = self._table[cmd_name]
        module, _, attribute = where.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        command.short_help = about
        _show_variables(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections one after the other."""
        for title, commands in self._sections:
            with formatter.section(title):
                formatter.write_dl([(name, about) for name, (_, about) in commands.items()], col_max=20)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands, with what they do."""
        found = [
            CompletionItem(name, help=about)
            for name, (_, about) in self._table.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The named command; for an unknown name the nearest one is suggested."""
        if args and args[0] not in self._table and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self._table, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Reads the options before the command."""
        with _usage_in_one_line():
            return super().make_context(*args, **kwargs)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a command line; an unexpected error becomes a line and an exit code."""
        try:
            return super().main(*args, **kwargs)
        except Exception as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            sys.exit(_report(error))

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Ctrl-C, and a reader of the output that has gone, end it without a word."""
        try:
            with _usage_in_one_line():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            # `slad watch | head` has all that it wanted. The interpreter's last flush must not fail over it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(0) from None


def _show_variables(command: click.Command) -> None:
    """Adds the variable of each option to its help, once. click's `show_envvar` is in its errors too."""
    for param in command.params:
        variable = f"[env var: {param.envvar}]"
        if isinstance(param, click.Option) and param.envvar and variable not in (param.help or ""):
            param.help = f"{param.help or ''}  {variable}"
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _show_variables(below)


@contextmanager
def _usage_in_one_line() -> Iterator[None]:
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "slad"
        message = error.format_message().rstrip(".")
        joint = " " if message.endswith("?") else "; "
        raise CommandError(f"{message}{joint}see `{command} --help`") from None


def _report(error: Exception) -> int:
    """Says what ended the command. The exit code."""
    if logging.getLogger().handlers:  # a daemon, whose log is the place for it
        logging.getLogger("slad").critical("unexpected error", exc_info=error)
        return EXIT_UNFORESEEN
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE and error.filename is None:
        click.echo(f"slad: cannot write the output: {error.strerror}", err=True)
        return EXIT_CANNOT_START
    text = " ".join(str(error).split())
    click.echo(
        f"slad: unexpected error, {type(error).__name__}: {text}; {DEBUG_VARIABLE}=1 shows where", err=True
    )
    return EXIT_UNFORESEEN
