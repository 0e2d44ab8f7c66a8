"""How a command ends when what it was given is wrong: one line, and an exit code."""

from __future__ import annotations

from typing import Any

import click

from slad.cli.params import EXIT_CANNOT_START, EXIT_CONFIGURATION


class WrongInput(click.ClickException):
    """An option, an argument or the content of a file is wrong."""

    exit_code = EXIT_CONFIGURATION

    def show(self, file: Any = None) -> None:
        """Prints the line."""
        click.echo(f"slad: {' '.join(self.message.split())}", file=file, err=True)


class CannotUse(WrongInput):
    """A file cannot be read or written."""

    exit_code = EXIT_CANNOT_START
