"""`slad serve`: the daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import uvloop

from slad.cli.params import EXIT_CANNOT_START, Instant, Span, data_option
from slad.daemon import logs
from slad.daemon.daemon import serve
from slad.daemon.settings import DEFAULT_LISTEN, Settings
from slad.daemon.sockets import AddressError
from slad.delivery.retention import RetentionSettings
from slad.storage.lock import DatabaseError

DEFAULTS = RetentionSettings()


@click.command("serve")
@click.option(
    "--listen",
    multiple=True,
    default=DEFAULT_LISTEN,
    show_default=True,
    envvar="SLAD_LISTEN",
    metavar="ADDR",
    help="host:port or unix:PATH; may repeat.",
)
@data_option
@click.option(
    "--virtual-clock",
    type=Instant(),
    envvar="SLAD_VIRTUAL_CLOCK",
    metavar="INSTANT",
    help="Let time stand at INSTANT and be moved through slad.v1.TestClock. For tests.",
)
@click.option(
    "--event-retention",
    type=Span(),
    default="30d",
    show_default=True,
    envvar="SLAD_EVENT_RETENTION",
    metavar="SPAN",
    help="How long acknowledged events are kept.",
)
@click.option(
    "--max-events",
    type=click.IntRange(min=1),
    default=DEFAULTS.max_events,
    show_default=True,
    envvar="SLAD_MAX_EVENTS",
    help="Beyond this number the oldest acknowledged events go earlier.",
)
@click.option(
    "--request-id-retention",
    type=Span(),
    default="7d",
    show_default=True,
    envvar="SLAD_REQUEST_ID_RETENTION",
    metavar="SPAN",
    help="How long a repeated request_id gets its first answer.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    envvar="SLAD_LOG_FORMAT",
    help="auto: text on a terminal, JSON otherwise.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    envvar="SLAD_LOG_LEVEL",
)
def serve_command(
    listen: tuple[str, ...],
    data: Path,
    virtual_clock: int | None,
    event_retention: int,
    max_events: int,
    request_id_retention: int,
    log_format: str,
    log_level: str,
) -> None:
    """Run the daemon until SIGTERM.

    Exit code 0 after a clean stop, 3 when an address or the data directory cannot be used.
    """
    logs.set_up(log_format, log_level)
    retention = RetentionSettings(event_retention, max_events, request_id_retention)
    try:
        # uvloop saves 11 to 16 % of the CPU of a call (docs/decisions.md).
        uvloop.run(serve(Settings(listen, data, virtual_clock, retention)))
    except (AddressError, DatabaseError) as error:
        click.echo(f"slad: {error}", err=True)
        sys.exit(EXIT_CANNOT_START)
