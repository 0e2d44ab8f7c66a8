"""The command `slad`: a table of its commands, each of which is imported when it is used."""

from __future__ import annotations

import os
from typing import Final

import click

from slad import __version__
from slad.cli.lazy import LazyGroup, Section

# What gRPC's core has to say it says past the log; the error comes to slad all the same. Read when grpc is
# imported, which is later.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

SECTIONS: Final[tuple[Section, ...]] = (
    (
        "Tickets",
        {
            "status": ("slad.cli.status:status", "How a ticket stands."),
            "list": ("slad.cli.status:list_command", "Which tickets there are."),
            "explain": ("slad.cli.explain:explain", "Why a ticket stands as it does, drawn."),
            "demo": ("slad.cli.demo:demo", "A day of a service desk in ten seconds."),
            "preview": (
                "slad.cli.preview:preview",
                "What the clocks of a ticket would say; needs no daemon.",
            ),
            "start": ("slad.cli.commands:start", "Start the clocks of a ticket."),
            "pause": ("slad.cli.commands:pause", "Stop them."),
            "resume": ("slad.cli.commands:resume", "Let them count on."),
            "complete": ("slad.cli.commands:complete", "Close the response clock, or both."),
            "cancel": ("slad.cli.commands:cancel", "End a ticket without a verdict."),
            "retarget": ("slad.cli.commands:retarget", "Put a ticket under other terms."),
            "reopen": ("slad.cli.commands:reopen", "Let an ended ticket run again."),
        },
    ),
    (
        "Events and consumers",
        {
            "watch": ("slad.cli.watch:watch", "Events as they happen."),
            "consumers": ("slad.cli.consumers:consumers", "Who reads the events, and how far behind."),
            "sinks": ("slad.cli.sinks:sinks", "Where events are delivered to, and what was refused."),
        },
    ),
    (
        "Many tickets at once",
        {
            "import": ("slad.cli.transfer:import_command", "Take over the open tickets of a file."),
            "export": ("slad.cli.transfer:export", "Write the live tickets to a file."),
        },
    ),
    (
        "The daemon",
        {
            "serve": ("slad.cli.serve:serve_command", "Run the daemon until SIGTERM."),
            "install-service": ("slad.cli.install:install_service", "Let systemd run slad."),
            "tokens": ("slad.cli.tokens:tokens", "Who may call."),
            "health": ("slad.cli.clock:health", "Whether it carries out commands."),
            "clock": ("slad.cli.clock:clock", "The virtual clock: show it, move it."),
            "temporal-worker": (
                "slad.cli.temporal_worker:worker_command",
                "Run a worker that keeps clocks inside Temporal.",
            ),
            "handover": ("slad.cli.temporal:handover", "Move live tickets to another engine."),
            "temporal": ("slad.cli.temporal:temporal", "How slad and Temporal get on."),
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
    (
        "Your shell",
        {"completion": ("slad.cli.completion:completion", "Let bash, zsh or fish complete commands.")},
    ),
)
"""Name → (where it is, what `slad --help` says of it), by section and in the order of `slad --help`."""


@click.group(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="slad")
def main() -> None:
    """The SLA clocks of a service desk."""
