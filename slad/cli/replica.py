"""`slad replica check`: what a replica knows."""

from __future__ import annotations

from pathlib import Path

import click

from slad.cli import time_text
from slad.cli.exits import EXIT_CANNOT_START, EXIT_UNSOUND, CommandError
from slad.cli.help import example
from slad.cli.option_types import SPAN
from slad.cli.settings import data_option
from slad.core.instants import format_instant
from slad.engine.time_source import WallClock
from slad.storage.database import REPLICA_KNOWS, mark
from slad.storage.lock import DatabaseError
from slad.storage.replica import known_until as read_back


@click.group()
def replica() -> None:
    """Look after a replica that Litestream keeps."""


@replica.command(
    epilog=example(
        "slad replica check s3://acme-slad/slad.db --data /var/lib/slad",
        "slad replica check /var/lib/slad-standby/slad.db --max-age 1m",
    )
)
@data_option
@click.option(
    "--max-age",
    type=SPAN,
    metavar="SPAN",
    default="5m",
    show_default=True,
    help="How old it may be.",
)
@click.argument("replica", metavar="REPLICA")
def check(data: Path, max_age: int, replica: str) -> None:
    """Read REPLICA back, and say how old it is.

    REPLICA is a URL, such as s3://BUCKET/PATH, from which litestream restores to a temporary file, or the
    path of a database that litestream follows. The result goes into the data directory too, for the metric
    slad_replica_age_seconds. Exit code 3 if it cannot be read, 5 if it is too old.
    """
    try:
        known_until = read_back(replica)
    except DatabaseError as error:
        raise CommandError(str(error), EXIT_CANNOT_START) from error
    if known_until is None:
        raise CommandError(f"{replica} has neither a heartbeat nor a command in it", EXIT_UNSOUND)
    mark(data, REPLICA_KNOWS, known_until)
    age = WallClock().now() - known_until
    told = f"{replica} knows everything before {format_instant(known_until)}, {time_text.span(age)} ago"
    if age > max_age:
        raise CommandError(f"{told}; it does not move: look at Litestream's log", EXIT_UNSOUND)
    click.echo(f"ok: {told}")
