"""`slad adopt`: making a copy of the database the one that serves."""

from __future__ import annotations

import asyncio

import click

from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.cli.help import example
from slad.cli.output import note
from slad.cli.settings import configured_by
from slad.config.reader import Configuration
from slad.core.instants import format_instant
from slad.daemon.fence.adoption import Adopted, adopt
from slad.daemon.fence.lease import FenceError
from slad.engine.time_source import WallClock
from slad.storage.database import DATABASE_NAME
from slad.storage.lock import DatabaseError


@click.command("adopt", epilog=example("slad adopt --data /var/lib/slad --fence-at s3://acme-slad/fence"))
@configured_by("data", "fence.at", "fence.lease", "fence.prefer")
def adopt_command(configuration: Configuration) -> None:
    """Let a copy of the database take over.

    Litestream has restored or followed the copy. It begins a new epoch, and its events go on with sequences
    that the old one has not used. The command waits until the lease of the old one has ended, and says up to
    which instant the copy holds everything that was acknowledged. Then start slad. Exit code 3 if the copy
    cannot be adopted; then nothing has changed.
    """
    data, fence = configuration["data"], configuration.fence()
    try:
        adopted = asyncio.run(adopt(data, fence, WallClock()))
    except (DatabaseError, FenceError) as error:
        raise CommandError(str(error), EXIT_CANNOT_START) from error
    click.echo(f"adopted {data / DATABASE_NAME} as epoch {adopted.epoch}")
    click.echo(f"sequences continue above {adopted.sequence_floor}")
    click.echo(_knowledge(adopted))
    if fence.at is None:
        note("no fence is set (fence.at): nothing stops the former slad")


def _knowledge(adopted: Adopted) -> str:
    if adopted.known_until is None:
        return "it knows of no command"
    text = f"it knows everything that was acknowledged before {format_instant(adopted.known_until)}"
    if adopted.former is None:
        return text
    renewed = format_instant(adopted.former.renewed_at)
    return f"{text}\nthe former, on {adopted.former.host}, held its lease until {renewed} at least"
