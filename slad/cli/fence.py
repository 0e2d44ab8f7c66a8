"""`slad fence`: who may serve."""

from __future__ import annotations

import asyncio

import click

from slad.cli import time_text
from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.cli.help import example
from slad.cli.settings import configured_by
from slad.config.reader import Configuration
from slad.core.instants import format_instant
from slad.daemon.fence.lease import FenceError, look_at


@click.command("fence", epilog=example("slad fence --fence-at s3://acme-slad/fence"))
@configured_by("fence.at")
@click.option("--epoch", "epoch_only", is_flag=True, help="Print the epoch only; 0 if nobody has served yet.")
def fence_command(configuration: Configuration, epoch_only: bool) -> None:
    """Say which epoch of the database may serve, and where. Exit code 3 if the fence cannot be reached."""
    where = configuration["fence.at"]
    if where is None:
        raise CommandError("fence.at is not set: no fence says who may serve")
    try:
        found = asyncio.run(look_at(where))
    except FenceError as error:
        raise CommandError(str(error), EXIT_CANNOT_START) from error
    if epoch_only:
        click.echo(found.epoch if found is not None else 0)
    elif found is None:
        click.echo("nobody has served yet")
    else:
        good = f"good for {time_text.span(found.lease_ms)}" if found.lease_ms else "given back"
        click.echo(
            f"epoch {found.epoch} on {found.host}: renewed at {format_instant(found.renewed_at)}, {good}"
        )
