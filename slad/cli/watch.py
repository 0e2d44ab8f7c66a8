"""`slad watch`: events as they are committed."""

from __future__ import annotations

import logging
from contextlib import closing
from functools import partial
from typing import Final

import click
import grpc
from rich.text import Text
from slad_client import NO_RETRY
from slad_client.sync import SladClient
from slad_client.v1 import types_pb2 as pb

from slad.cli.daemon_connection import TIMEOUT_S, Daemon, daemon_options
from slad.cli.event_view import event_line
from slad.cli.help import example
from slad.cli.option_types import EnumWords
from slad.cli.output import Printer, note, output_option

TYPES: Final = EnumWords(pb.SlaEventType.DESCRIPTOR, "SLA_EVENT_TYPE_")


@click.command(
    epilog=example("slad watch --tenant acme", "slad watch --after 0 --type threshold-reached -o json")
)
@click.option("--tenant", "tenant_id", default="", metavar="TENANT", help="Only events of this tenant.")
@click.option("--ticket", "ticket_id", default="", metavar="TICKET", help="Only events of this ticket.")
@click.option(
    "--type",
    "types",
    type=TYPES,
    default=(),
    help=f"Only events of these types; separate several by commas: {', '.join(TYPES.words())}.",
)
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="SEQUENCE",
    help="Begin after the event with this sequence; 0 begins with the oldest event that is still kept.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after this many events.")
@output_option()
@daemon_options
def watch(
    daemon: Daemon,
    tenant_id: str,
    ticket_id: str,
    types: tuple[int, ...],
    after: int | None,
    count: int | None,
    out: Printer,
) -> None:
    """Print events as they happen, until Ctrl-C.

    This only looks: it creates no consumer and acknowledges nothing. If the daemon restarts, the command
    continues where it was. -o json prints one object a line.
    """
    notes = _Notes(daemon.address)
    logging.getLogger("slad_client").addHandler(notes)
    logging.getLogger("slad_client").propagate = False
    with daemon.channel() as channel, SladClient(channel=channel, timeout=TIMEOUT_S) as client:
        channel.subscribe(notes.connectivity_changes)
        # Without a daemon the command ends here. If the daemon goes away later, the command waits for it.
        next(iter(client.list_sla_trackings(tenant_id=tenant_id, page_size=1, retry=NO_RETRY)), None)
        wanted = [pb.SlaEventType.ValueType(number) for number in types]
        stream = client.watch_sla_events(after_sequence=after, tenant_id=tenant_id, types=wanted)
        with closing(stream) as events:
            shown = 0
            for event in events:
                if ticket_id and event.ticket_id != ticket_id:
                    continue
                out.next(event, partial(_line, event), str(event.sequence))
                shown += 1
                if shown == count:
                    return


def _line(event: pb.SlaEvent) -> list[Text]:
    return [event_line(event)]


class _Notes(logging.Handler):
    """Says once that the daemon is away, and once that it is back, however often the client tries again."""

    def __init__(self, address: str) -> None:
        super().__init__(logging.WARNING)
        self._address = address
        self._is_away = False

    def emit(self, record: logging.LogRecord) -> None:
        """Hears that a stream broke."""
        if not self._is_away:
            self._is_away = True
            note(f"the daemon at {self._address} is away; waiting for it")

    def connectivity_changes(self, state: grpc.ChannelConnectivity) -> None:
        """Hears how the channel is, on a thread of gRPC."""
        if self._is_away and state is grpc.ChannelConnectivity.READY:
            self._is_away = False
            note("the daemon is back")
