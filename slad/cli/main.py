"""The command `slad`: a table of its commands, each of which is imported when it is used."""

from __future__ import annotations

from typing import Final

import click

from slad import __version__
from slad.cli.lazy import LazyGroup, Section

SECTIONS: Final[tuple[Section, ...]] = (
    (
        "Events and consumers",
        {
            "consumers": (
                "slad.cli.consumers:consumers",
                "Who reads the events, and how far behind.",
            ),
            "sinks": ("slad.cli.sinks:sinks", "Where events are delivered to, and what was refused."),
        },
    ),
    (
        "The daemon",
        {
            "serve": ("slad.cli.serve:serve_command", "Run the daemon until SIGTERM."),
            "install-service": ("slad.cli.install:install_service", "Let systemd run slad."),
            "tokens": ("slad.cli.tokens:tokens", "Who may call."),
            "config": ("slad.cli.config:config", "What the daemon would be told, and by whom."),
        },
    ),
    (
        "Its data",
        {
            "backup": ("slad.cli.care:backup", "Copy the database to a file, while slad runs or not."),
            "restore": ("slad.cli.care:restore", "Make a backup the database again."),
            "doctor": ("slad.cli.care:doctor", "Check the database, its timers and consumers."),
        },
    ),
)
"""Name → (where it is, what `slad --help` says of it), by section and in the order of `slad --help`."""


@click.group(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="slad")
def main() -> None:
    """The SLA clocks of a service desk."""
