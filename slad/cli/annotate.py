"""`slad annotate`: why a promise was missed, and whether that is to count."""

from __future__ import annotations

import click
from slad_client.v1 import attainment_pb2 as pb

from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.help import example
from slad.cli.output import Printer, output_option
from slad.cli.ticket_argument import TypedTicket, generation_option, ticket_argument


@click.command(
    epilog=example(
        "slad annotate acme T-1 --clock resolution --reason vendor --excuse",
        'slad annotate acme T-1 --clock response --note "the mail server was down"',
    )
)
@ticket_argument
@click.option("--clock", required=True, metavar="NAME", help="The clock, such as resolution.")
@click.option("--cycle", type=click.IntRange(min=1), help="The cycle of the clock; by default the last one.")
@generation_option
@click.option("--reason", "reason_code", default="", metavar="CODE", help="Why, as a code of your own.")
@click.option("--note", default="", metavar="TEXT", help="More about it, for people.")
@click.option("--excuse", is_flag=True, help="Leave a miss out of attainment_excused.")
@output_option("table", "json", "yaml")
@daemon_options
def annotate(
    daemon: Daemon,
    ticket: TypedTicket,
    clock: str,
    cycle: int | None,
    generation: int | None,
    reason_code: str,
    note: str,
    excuse: bool,
    out: Printer,
) -> None:
    """Say why a promise was missed, and whether the miss is to count.

    The verdict stays. The command replaces what was said before about the same promise; without --reason,
    --note and --excuse it removes that. If the clock still runs, it applies when the clock closes.
    """
    with daemon.client() as client:
        reply: pb.AnnotateSlaResponse = client.annotate_sla(
            **ticket._asdict(),
            clock=clock,
            cycle=cycle,
            generation=generation,
            reason_code=reason_code,
            note=note,
            excused=excuse,
        )
    out.one(
        reply, lambda: [f"{ticket.ticket_id}: {'annotated' if reply.changed else 'annotated so already'}"]
    )
