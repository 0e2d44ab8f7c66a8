"""How a command ends: exit codes, and the one error that ends it with a line and a code. 0: all went well."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final, NoReturn

import click

EXIT_UNFORESEEN: Final = 1
"""An unexpected error. `SLAD_DEBUG=1` shows where it happened."""

EXIT_CONFIGURATION: Final = 2
"""An option, a variable, the configuration file or another input file is wrong."""

EXIT_CANNOT_START: Final = 3
"""The address, the data directory or a file cannot be used."""

EXIT_NOT_THERE: Final = 4
"""The daemon does not answer."""

EXIT_UNSOUND: Final = 5
"""`slad doctor` found a fault, or `slad import` rejected rows."""

EXIT_NOT_FOUND: Final = 6
"""The ticket, generation, consumer, sink or token does not exist."""

EXIT_REFUSED: Final = 7
"""The daemon refused: the request is wrong, or not possible in the present state."""

EXIT_NOT_ALLOWED: Final = 8
"""The daemon does not know the caller, or the caller may not do this."""

EXIT_INTERRUPTED: Final = 130
"""Ctrl-C."""


class CommandError(click.ClickException):
    """Ends the command with one line on standard error.

    `exit_code` says whose fault it is: by default an option, an argument or the content of a file is wrong. A
    command that has said everything already ends with click's own `Exit(code)`.
    """

    exit_code: int  # type: ignore[misc] # click has one for each class

    def __init__(self, message: str, exit_code: int = EXIT_CONFIGURATION) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: Any = None) -> None:
        """Prints the line."""
        line = " ".join(self.message.split())
        # What a daemon or another person wrote must not control the terminal.
        click.echo(f"slad: {printable(line)}", file=file, err=True)


def printable(text: str) -> str:
    """`text` with every character escaped that a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def end_process(code: int) -> NoReturn:
    """Ends the process with `code`.

    The threads of Temporal's client do not stop, and one that returns from a call while the interpreter shuts
    down aborts it. So once that client is loaded, the process ends without the interpreter's own shutdown.
    """
    if "temporalio" not in sys.modules:
        sys.exit(code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
