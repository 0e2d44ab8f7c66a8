"""`slad pause`, `resume`, `message`, `assign`, `complete`, `cancel`: what happened to a ticket, by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click
from slad_client.v1 import types_pb2 as pb

from slad.cli.clock_text import UNNAMED
from slad.cli.exits import CommandError, printable
from slad.cli.help import example
from slad.cli.reason_text import WORDS, Reason, reason_fields, reason_word
from slad.cli.ticket_commands import Call, at_option, to_ticket

Command = TypeVar("Command", bound=Callable[..., Any])


def reason_options(told: str) -> Callable[[Command], Command]:
    """Adds the options of a reason, told as `told`; the command gets it as `reason`, None: not given."""

    def decorate(command: Command) -> Command:
        @click.option("--reason", "word", type=click.Choice(list(WORDS)), help=told)
        @click.option("--reason-code", "code", metavar="CODE", help="Your own reason, instead of --reason.")
        @functools.wraps(command)
        def with_reason(*args: Any, word: str | None, code: str | None, **kwargs: Any) -> Any:
            if word is not None and code is not None:
                raise CommandError("--reason and --reason-code contradict each other; give one")
            reason = None if code is None else Reason(pb.SLA_PAUSE_REASON_OTHER, code)
            return command(*args, reason=reason_fields(word) if word else reason, **kwargs)

        return with_reason  # type: ignore[return-value]

    return decorate


@click.command(epilog=example("slad pause acme T-1 --at -10m", "slad pause T-1 --reason-code vendor"))
@reason_options("Why the ticket waits.  [default: awaiting-client]")
@at_option
@to_ticket
def pause(call: Call, reason: Reason | None, at: datetime | None) -> None:
    """Pause the clocks of a ticket until it is resumed.

    A ticket may be paused for several reasons. Each clock stops for those that it heeds, by default for all.
    """
    with call.client() as client:
        reply = client.pause_sla(
            **call.ticket._asdict(),
            **(reason or Reason(pb.SLA_PAUSE_REASON_AWAITING_CLIENT))._asdict(),
            effective_at=at,
            request_id=call.request_id,
        )
    call.show(reply, "paused" if reply.changed else "already paused; nothing changed")


@click.command(epilog=example("slad resume acme T-1", "slad resume T-1 --reason-code vendor"))
@reason_options("The reason that is over; the others stay. By default all are.")
@at_option
@to_ticket
def resume(call: Call, reason: Reason | None, at: datetime | None) -> None:
    """Let the clocks of a paused ticket run again."""
    with call.client() as client:
        reply = client.resume_sla(
            **call.ticket._asdict(),
            **(reason._asdict() if reason else {}),
            effective_at=at,
            request_id=call.request_id,
        )
    name = reason and (reason.reason_code or pb.SlaPauseReason.Name(reason.reason))
    for_it = f" for {reason_word(name)}" if name else ""
    if not reply.changed:
        call.show(reply, f"not paused{for_it}; nothing changed")
    else:
        call.show(reply, f"no longer paused{for_it}" if reply.status.is_paused else "resumed")


@click.command(
    epilog=example("slad message acme T-1 --from customer", "slad message T-1 --from agent --at -5m")
)
@click.option(
    "--from", "sender", type=click.Choice(["customer", "agent"]), required=True, help="Who wrote the message."
)
@at_option
@to_ticket
def message(call: Call, sender: str, at: datetime | None) -> None:
    """Record a message on a ticket, for its clocks of replies and updates.

    A message from an agent is the response, if there was none.
    """
    with call.client() as client:
        reply = client.record_sla_message(
            **call.ticket._asdict(),
            sender=pb.SlaMessageSender.Value(f"SLA_MESSAGE_SENDER_{sender.upper()}"),
            effective_at=at,
            request_id=call.request_id,
        )
    told = f"message from the {sender}"
    call.show(reply, told if reply.changed else f"{told}; it affects no clock")


@click.command(epilog=example("slad assign acme T-1 --owner level-2", "slad assign T-1 --nobody"))
@click.option("--owner", metavar="ID", help="The person or team that has the ticket now, by an id of yours.")
@click.option("--nobody", is_flag=True, help="Nobody has the ticket now.")
@at_option
@to_ticket
def assign(call: Call, owner: str | None, nobody: bool, at: datetime | None) -> None:
    """Record who has a ticket, for its clocks of owners."""
    if bool(owner) == nobody:
        raise CommandError("give --owner ID, or --nobody")
    with call.client() as client:
        reply = client.assign_sla(
            **call.ticket._asdict(), owner=owner or "", effective_at=at, request_id=call.request_id
        )
    told = f"assigned to {printable(owner or '') or 'nobody'}"
    call.show(reply, told if reply.changed else f"{told} already; nothing changed")


@click.command(
    epilog=example(
        "slad complete acme T-1 --phase response",
        "slad complete T-1 --clock workaround",
        "slad complete T-1 --clock next-reply --discard",
    )
)
@click.option(
    "--phase",
    type=click.Choice(UNNAMED),
    help="resolution closes all clocks and ends the ticket.  [default: resolution]",
)
@click.option("--clock", metavar="NAME", help="The clock to close, by its name, instead of a phase.")
@click.option("--discard", is_flag=True, help="Close it without a verdict; not the resolution.")
@click.option("--met/--missed", default=None, help="Your own verdict, which slad keeps beside its own.")
@at_option
@to_ticket
def complete(
    call: Call, phase: str | None, clock: str | None, discard: bool, met: bool | None, at: datetime | None
) -> None:
    """Close one clock of a ticket, or with the resolution all of them."""
    if phase and clock is not None:
        raise CommandError("--phase and --clock contradict each other; give one")
    if discard and met is not None:
        raise CommandError(f"--discard and --{'met' if met else 'missed'} contradict each other; give one")
    if clock == "":
        raise CommandError("--clock: the name of a clock is needed; `slad status` shows them")
    name = clock or phase or UNNAMED[1]
    with call.client() as client:
        reply = client.complete_sla(
            **call.ticket._asdict(),
            phase="UNSPECIFIED" if clock else name.upper(),
            clock=clock or "",
            discard=discard,
            met=met,
            effective_at=at,
            request_id=call.request_id,
        )
    if not reply.changed and name not in UNNAMED:
        call.show(reply, f"{name} has no open cycle; nothing changed")
        return
    outcome = f"{name} {'discarded' if discard else 'met' if reply.met else 'missed'}"
    if reply.met_differs:
        outcome += f", reported as {'missed' if reply.met else 'met'}"
    call.show(reply, outcome if reply.changed else f"{outcome}; already complete, nothing changed")


@click.command(epilog=example("slad cancel acme T-1"))
@at_option
@to_ticket
def cancel(call: Call, at: datetime | None) -> None:
    """End a ticket without a verdict."""
    with call.client() as client:
        reply = client.cancel_sla(**call.ticket._asdict(), effective_at=at, request_id=call.request_id)
    call.show(reply, "cancelled" if reply.changed else "already cancelled; nothing changed")
