"""Exit codes of the commands, and kinds of arguments that are no settings."""

from __future__ import annotations

from typing import Final

EXIT_CONFIGURATION: Final = 2
"""A wrong option, variable or configuration file."""

EXIT_CANNOT_START: Final = 3
"""The address or the data directory cannot be used."""

EXIT_REFUSED: Final = 4
"""The daemon refused, or is not there."""

EXIT_UNSOUND: Final = 5
"""`slad doctor` found something wrong."""
