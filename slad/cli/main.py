"""The command `slad`: a table of its commands, each of which is imported when it is used."""

from __future__ import annotations

import os
from typing import Final

import click

from slad import __version__
from slad.cli.lazy_group import LazyGroup, Section

# The core of gRPC writes to standard error, not to the log; slad gets its errors anyway. grpc reads this when
# it is imported, which is later.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

SECTIONS: Final[tuple[Section, ...]] = (
    (
        "Tickets",
        {
            "status": ("slad.cli.ticket_queries:status", "Show the clocks of a ticket."),
            "list": ("slad.cli.ticket_queries:list_command", "List tickets."),
            "explain": ("slad.cli.explain:explain", "Draw what counted for a ticket, what did not and why."),
            "demo": ("slad.cli.demo:demo", "Watch a day of a service desk in ten seconds."),
            "preview": (
                "slad.cli.preview:preview",
                "Show when thresholds would fire. Needs no daemon.",
            ),
            "holidays": ("slad.cli.holidays:holidays", "Write the public holidays of a country."),
            "start": ("slad.cli.ticket_commands:start", "Start the clocks of a ticket."),
            "pause": ("slad.cli.fact_commands:pause", "Pause the clocks of a ticket."),
            "resume": ("slad.cli.fact_commands:resume", "Let the clocks of a ticket run again."),
            "message": ("slad.cli.fact_commands:message", "Record a message on a ticket."),
            "assign": ("slad.cli.fact_commands:assign", "Record who has a ticket."),
            "complete": ("slad.cli.fact_commands:complete", "Close one clock of a ticket, or all."),
            "cancel": ("slad.cli.fact_commands:cancel", "End a ticket without a verdict."),
            "retarget": ("slad.cli.ticket_commands:retarget", "Change the terms of a ticket."),
            "reopen": ("slad.cli.ticket_commands:reopen", "Reopen a completed or cancelled ticket."),
        },
    ),
    (
        "What was promised",
        {
            "report": ("slad.cli.report:report", "Show what share of promises was kept."),
            "forecast": ("slad.cli.forecast:forecast", "Show what is overdue, and what will be."),
            "annotate": ("slad.cli.annotate:annotate", "Say why a promise was missed."),
        },
    ),
    (
        "Events and consumers",
        {
            "watch": ("slad.cli.watch:watch", "Print events as they happen."),
            "consumers": (
                "slad.cli.consumers:consumers",
                "Show who reads events and how far behind they are.",
            ),
            "sinks": ("slad.cli.sinks:sinks", "Show where events are delivered and what was refused."),
        },
    ),
    (
        "Many tickets at once",
        {
            "import": ("slad.cli.import_export:import_command", "Import open tickets from a file."),
            "export": ("slad.cli.import_export:export", "Export the live tickets to a file."),
            "retarget-many": ("slad.cli.retarget_many:retarget_many", "Change the terms of many tickets."),
        },
    ),
    (
        "The daemon",
        {
            "serve": ("slad.cli.serve:serve_command", "Run the daemon until SIGTERM."),
            "install-service": (
                "slad.cli.install_service:install_service",
                "Install slad as a systemd service.",
            ),
            "tokens": ("slad.cli.tokens:tokens", "Create, list and revoke the tokens of callers."),
            "health": ("slad.cli.health:health", "Say whether the daemon serves."),
            "clock": ("slad.cli.clock:clock", "Show and move the virtual clock."),
            "temporal-worker": (
                "slad.cli.temporal_worker:worker_command",
                "Run a worker that keeps clocks inside Temporal.",
            ),
            "handover": ("slad.cli.temporal:handover", "Move live tickets to another engine."),
            "temporal": ("slad.cli.temporal:temporal", "Show the connection to Temporal and its backlog."),
            "config": ("slad.cli.config:config", "Show the effective configuration and its origins."),
        },
    ),
    (
        "Its data",
        {
            "backup": ("slad.cli.care:backup", "Copy the database to a file, also while slad runs."),
            "restore": ("slad.cli.care:restore", "Restore a backup."),
            "replica": ("slad.cli.replica:replica", "See how old a replica is."),
            "fence": ("slad.cli.fence:fence_command", "Say which copy of the database may serve."),
            "adopt": ("slad.cli.adopt:adopt_command", "Let a copy of the database take over."),
            "doctor": ("slad.cli.care:doctor", "Check that slad is healthy."),
        },
    ),
    (
        "You and your shell",
        {
            "context": ("slad.cli.context:context", "Name several daemons and choose one."),
            "help": ("slad.cli.help:help_command", "Show the help of a command."),
            "version": ("slad.cli.help:version", "Show the version."),
            "completion": (
                "slad.cli.completion:completion",
                "Print the completion script for bash, zsh or fish.",
            ),
        },
    ),
)
"""Name → (where it is, what `slad --help` says of it), by section and in the order of `slad --help`."""


@click.group(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="slad")
def main() -> None:
    """slad keeps the SLA clocks of a service desk."""
