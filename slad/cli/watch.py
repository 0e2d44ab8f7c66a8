"""`slad watch`: events as they are committed."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Final

import click
from slad_client import NO_RETRY
from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as pb

from slad.cli.connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.events import event_line
from slad.cli.output import json_option, note, print_json, show
from slad.cli.values import Words

TYPES: Final = Words(pb.SlaEventType.DESCRIPTOR, "SLA_EVENT_TYPE_")


@click.command()
@click.option("--tenant", "tenant_id", default="", metavar="TENANT", help="Only events of this tenant.")
@click.option("--ticket", "ticket_id", default="", metavar="TICKET", help="Only events of this ticket.")
@click.option("--type", "types", type=TYPES, default=(), help="Several are separated by commas.")
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="SEQUENCE",
    help="Begin with what came after that event; 0: with the oldest that is retained.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many.")
@json_option
@daemon_options
def watch(
    daemon: Daemon,
    tenant_id: str,
    ticket_id: str,
    types: tuple[int, ...],
    after: int | None,
    count: int | None,
    as_json: bool,
) -> None:
    """Print events live, until Ctrl-C.

    It is a look: no consumer is made, nothing is acknowledged. When the daemon restarts it goes on where it
    was. With --json one object a line.
    """
    logging.getLogger("slad_client").addHandler(_Notes())
    logging.getLogger("slad_client").propagate = False
    with daemon.channel() as channel, SladClient(channel=channel, timeout=TIMEOUT_S) as client:
        # A daemon that is not there is told at once; one that goes away later is waited for.
        next(iter(client.list_sla_trackings(tenant_id=tenant_id, page_size=1, retry=NO_RETRY)), None)
        wanted = [pb.SlaEventType.ValueType(number) for number in types]
        stream = client.watch_sla_events(after_sequence=after, tenant_id=tenant_id, types=wanted)
        with closing(stream) as events:
            shown = 0
            for event in events:
                if ticket_id and event.ticket_id != ticket_id:
                    continue
                if as_json:
                    print_json(event, one_line=True)
                else:
                    show(event_line(event))
                shown += 1
                if shown == count:
                    return


class _Notes(logging.Handler):
    """The client's warnings, as remarks."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tells one."""
        if record.levelno >= logging.WARNING:
            note(record.getMessage())
