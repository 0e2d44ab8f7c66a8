"""What slad says of a ticket, held against what the ticket must be."""

from __future__ import annotations

from typing import Any, NamedTuple

from slad_client.v1 import types_pb2 as pb

from tests.trials.crash.faults import FaultError, FaultKind
from tests.trials.crash.life import Life
from tests.trials.crash.ticket import Generation, Ticket


class Firing(NamedTuple):
    """A threshold that has fired and was not retracted. Instants in UTC epoch ms."""

    scheduled_at: int
    fired_at: int
    superseded: bool = False
    silent: bool = False
    """Recorded without an event (suppress_past)."""


Firings = dict[tuple[int, int], Firing]
"""By phase and percent."""

CLOCKS = {pb.SLA_PHASE_RESPONSE: "response", pb.SLA_PHASE_RESOLUTION: "resolution"}

_STATES = {
    Life.RUNNING: pb.SLA_TRACKING_STATE_ACTIVE,
    Life.PAUSED: pb.SLA_TRACKING_STATE_ACTIVE,
    Life.COMPLETED: pb.SLA_TRACKING_STATE_COMPLETED,
    Life.CANCELLED: pb.SLA_TRACKING_STATE_CANCELLED,
}


def compare(
    status: pb.SlaStatus, ticket: Ticket, generation: Generation, firings: Firings | None = None
) -> None:
    """Raises FaultError where `status` is not that of `generation`; `firings` are compared when given."""
    now = status.as_of.ToMilliseconds()
    seen, wanted = _seen(status), _wanted(ticket, generation, now)
    wrong = {name: (seen[name], value) for name, value in wanted.items() if seen[name] != value}
    if wrong:
        what = ", ".join(f"{name} is {was}, must be {value}" for name, (was, value) in wrong.items())
        raise FaultError(FaultKind.LOST, f"{ticket.ticket_id} generation {generation.number}", what)
    if firings is not None:
        _compare_firings(status, ticket, generation, firings)


def _seen(status: pb.SlaStatus) -> dict[str, Any]:
    seen: dict[str, Any] = {
        "tenant": status.tenant_id,
        "ticket": status.ticket_id,
        "policy": status.policy_id,
        "priority": status.priority_id,
        "generation": status.generation,
        "state": status.state,
        "pause": (status.is_paused, status.pause_reason),
        "started_at": status.started_at.ToMilliseconds(),
        "ended_at": _instant(status, "ended_at"),
        "attributes": dict(status.attributes),
    }
    for name in CLOCKS.values():
        clock = getattr(status, name)
        seen[name] = status.HasField(name) and {  # type: ignore[arg-type]
            "target": clock.target.ToMilliseconds(),
            "elapsed": clock.elapsed.ToMilliseconds(),
            "completed_at": _instant(clock, "completed_at"),
            "met": clock.met if clock.HasField("met") else None,
            "reported_met": clock.reported_met if clock.HasField("reported_met") else None,
            "breached_at": _instant(clock, "breached_at"),
            "percents": [threshold.percent for threshold in clock.thresholds],
        }
    return seen


def _wanted(ticket: Ticket, generation: Generation, now: int) -> dict[str, Any]:
    terms, history = generation.terms, generation.history
    paused = history.life is Life.PAUSED
    wanted: dict[str, Any] = {
        "tenant": ticket.tenant_id,
        "ticket": ticket.ticket_id,
        "policy": terms.policy_id,
        "priority": terms.priority_id,
        "generation": generation.number,
        "state": _STATES[history.life],
        "pause": (paused, history.stops[-1].reason if paused else 0),
        "started_at": generation.started_at,
        "ended_at": history.ended_at,
        "attributes": dict(generation.attributes),
    }
    for phase, name in CLOCKS.items():
        done = generation.done(phase)
        wanted[name] = phase in terms.phases and {
            "target": terms.target_ms(phase),
            "elapsed": generation.elapsed(phase, now),
            "completed_at": done.at if done else None,
            "met": generation.met(phase),
            "reported_met": done.met if done else None,
            "breached_at": generation.has_reached(phase, 100, now),
            "percents": list(terms.meanings),
        }
    return wanted


def _compare_firings(status: pb.SlaStatus, ticket: Ticket, generation: Generation, firings: Firings) -> None:
    """The state shows a threshold as fired if and only if it was told (or is silent)."""
    for phase, name in CLOCKS.items():
        for threshold in getattr(status, name).thresholds:
            told = firings.get((phase, threshold.percent))
            shown = None
            if threshold.HasField("fired_at"):
                shown = Firing(
                    threshold.scheduled_at.ToMilliseconds(),
                    threshold.fired_at.ToMilliseconds(),
                    threshold.superseded,
                )
            if shown != (told and told._replace(silent=False)):
                kind = FaultKind.UNEXPLAINED if told is None else FaultKind.LOST
                what = f"{name} {threshold.percent} is shown as {shown}, but the events say {told}"
                raise FaultError(kind, f"{ticket.ticket_id} generation {generation.number}", what)


def _instant(message: Any, name: str) -> int | None:
    return getattr(message, name).ToMilliseconds() if message.HasField(name) else None
