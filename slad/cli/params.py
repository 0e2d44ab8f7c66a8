"""The exit codes of the commands. 0: done, or stopped cleanly."""

from __future__ import annotations

from typing import Final

EXIT_UNFORESEEN: Final = 1
"""An error that nobody foresaw."""

EXIT_CONFIGURATION: Final = 2
"""A wrong option, variable, configuration file or other file that was named; also click's own."""

EXIT_CANNOT_START: Final = 3
"""The address, the data directory or a file cannot be used."""

EXIT_NOT_THERE: Final = 4
"""The daemon is not there, or does not answer."""

EXIT_UNSOUND: Final = 5
"""`slad doctor` found something wrong, or `slad import` had rows that were not taken."""

EXIT_NOT_FOUND: Final = 6
"""There is no such ticket, generation or consumer."""

EXIT_REFUSED: Final = 7
"""The daemon refused: the request is wrong, or not possible as things stand."""

EXIT_NOT_ALLOWED: Final = 8
"""The daemon does not know the caller, or does not allow them this."""

EXIT_INTERRUPTED: Final = 130
"""Ctrl-C."""
