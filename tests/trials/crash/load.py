"""Random commands, weighted so that tickets live eventful lives.

Left out is one corner that has nothing to do with crashes: a generation that takes over the facts of one
which ended twice, and so has ended before it begins.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeVar

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from tests.trials.crash.journal import TicketJournal
from tests.trials.crash.ticket import Effect, Generation, Ticket

Request = (
    rpc.StartSlaTrackingRequest
    | rpc.PauseSlaRequest
    | rpc.ResumeSlaRequest
    | rpc.CompleteSlaRequest
    | rpc.CancelSlaRequest
    | rpc.RetargetSlaRequest
    | rpc.ReopenSlaRequest
)
T = TypeVar(
    "T",
    rpc.PauseSlaRequest,
    rpc.ResumeSlaRequest,
    rpc.CompleteSlaRequest,
    rpc.CancelSlaRequest,
    rpc.ReopenSlaRequest,
)

PERCENTS = [1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 75, 90, 110, 150, 200, 400, 1000]
"""Low ones, so that a target of one minute crosses them all the time."""

TRIES = 12
SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS


class Load:
    """What one lane of a client sends."""

    def __init__(self, rng: Random, schedule: pb.BusinessHoursSchedule) -> None:
        self._rng = rng
        self._schedule = schedule
        self._requests = 0

    def next(self, journal: TicketJournal, now: int) -> Request:
        """The next command for a ticket."""
        for _ in range(TRIES):
            request = self._draw(journal.ticket, now)
            after, effect = journal.ticket.apply(request, now)
            born = len(after.generations) > len(journal.ticket.generations)
            if after.live or not born:
                break
        else:
            request, effect = (
                rpc.PauseSlaRequest(reason=pb.SLA_PAUSE_REASON_STATUS_PAUSE),
                Effect(stored=True),
            )
        request.ticket_id = journal.ticket.ticket_id
        if isinstance(request, rpc.StartSlaTrackingRequest) or self._rng.random() < 0.9:
            request.tenant_id = journal.ticket.tenant_id
        # What leaves no trace that a client can see must be asked again to learn what became of it.
        if self._rng.random() < 0.7 or (effect.stored and not effect.told):
            self._requests += 1
            request.request_id = f"{journal.ticket.ticket_id}-{self._requests}"
        return request

    def _draw(self, ticket: Ticket, now: int) -> Request:
        latest = ticket.latest
        if latest is None:
            return self._start(now) if self._rng.random() < 0.98 else self._pause(None, now)
        weights = _LIVE if ticket.live else _ENDED
        (make,) = self._rng.choices(list(weights), list(weights.values()))
        return make(self, latest, now)

    # --- commands

    def _start(self, now: int) -> rpc.StartSlaTrackingRequest:
        request = rpc.StartSlaTrackingRequest(policy_id="gold", suppress_past=self._rng.random() < 0.1)
        self._fill_terms(request)
        past = self._rng.random()
        if past < 0.4:
            request.started_at.FromMilliseconds(now - round(self._rng.expovariate(1 / 30) * SECOND_MS))
        elif past < 0.55:
            request.started_at.FromMilliseconds(now - self._rng.randrange(72 * HOUR_MS))
        if self._rng.random() < 0.3:
            request.attributes["client"] = f"n-{self._rng.randrange(100)}"
        return request

    def _start_again(self, latest: Generation, now: int) -> rpc.StartSlaTrackingRequest:
        request = self._start(now)
        request.on_existing = self._rng.choice(pb.OnExisting.values())
        return request

    def _pause(self, latest: Generation | None, now: int) -> rpc.PauseSlaRequest:
        reason = self._rng.choice((pb.SLA_PAUSE_REASON_AWAITING_CLIENT, pb.SLA_PAUSE_REASON_STATUS_PAUSE))
        return self._when(rpc.PauseSlaRequest(reason=reason), latest, now)

    def _resume(self, latest: Generation, now: int) -> rpc.ResumeSlaRequest:
        return self._when(rpc.ResumeSlaRequest(), latest, now)

    def _respond(self, latest: Generation, now: int) -> rpc.CompleteSlaRequest:
        return self._complete(pb.SLA_PHASE_RESPONSE, latest, now)

    def _resolve(self, latest: Generation, now: int) -> rpc.CompleteSlaRequest:
        return self._complete(pb.SLA_PHASE_RESOLUTION, latest, now)

    def _complete(self, phase: pb.SlaPhase.ValueType, latest: Generation, now: int) -> rpc.CompleteSlaRequest:
        request = rpc.CompleteSlaRequest(phase=phase)
        if self._rng.random() < 0.3:
            request.met = self._rng.random() < 0.5
        return self._when(request, latest, now)

    def _cancel(self, latest: Generation, now: int) -> rpc.CancelSlaRequest:
        return self._when(rpc.CancelSlaRequest(), latest, now)

    def _retarget(self, latest: Generation, now: int) -> rpc.RetargetSlaRequest:
        request = rpc.RetargetSlaRequest(
            policy_id=self._rng.choice(("gold", "silver")), suppress_past=self._rng.random() < 0.1
        )
        self._fill_terms(request)
        return request

    def _reopen(self, latest: Generation, now: int) -> rpc.ReopenSlaRequest:
        mode = self._rng.choice((pb.REOPEN_MODE_RESUME, pb.REOPEN_MODE_RESTART))
        return self._when(rpc.ReopenSlaRequest(mode=mode), latest, now)

    # --- their parts

    def _when(self, request: T, latest: Generation | None, now: int) -> T:
        """Gives a request an effective_at: none, late, a little ahead, or one that must be refused."""
        kind = self._rng.random()
        if latest is None or kind < 0.5:
            return request
        if kind < 0.75:
            at = max(latest.started_at, now - round(self._rng.expovariate(1 / 3) * SECOND_MS))
        elif kind < 0.88:
            at = self._rng.randint(latest.started_at, max(latest.started_at, now))
        elif kind < 0.92:
            # The very instant of another fact: clocks of callers are often coarse.
            at = self._rng.choice(latest.instants)
        elif kind < 0.97:
            at = now + self._rng.randrange(1, 4) * SECOND_MS
        else:
            at = self._rng.choice((latest.started_at - 1, latest.started_at - 6 * SECOND_MS, now + HOUR_MS))
        request.effective_at.FromMilliseconds(at)
        return request

    def _fill_terms(self, request: rpc.StartSlaTrackingRequest | rpc.RetargetSlaRequest) -> None:
        request.notification_thresholds.extend(self._rng.sample(PERCENTS, self._rng.randrange(1, 9)))
        promised = self._rng.random()
        target = pb.SlaPolicyTarget(is_24x7=self._rng.random() < 0.7)
        if promised < 0.8:
            target.response_time_minutes = 1
        if promised > 0.1:
            target.resolution_time_minutes = self._rng.choice((1, 1, 2, 3))
        levels = [self._rng.choice((0, *PERCENTS)) for _ in range(3)]
        target.escalation_1_percent, target.escalation_2_percent, target.escalation_3_percent = levels
        if self._rng.random() < 0.2:
            request.targets.add(priority_id="low", response_time_minutes=600, is_24x7=True)
            target.priority_id = request.priority_id = "high"
        request.targets.append(target)
        if not target.is_24x7:
            request.schedule.CopyFrom(self._schedule)


_LIVE: dict[Callable[[Load, Generation, int], Request], int] = {
    Load._pause: 18,
    Load._resume: 20,
    Load._respond: 9,
    Load._resolve: 6,
    Load._cancel: 5,
    Load._retarget: 12,
    Load._start_again: 8,
    Load._reopen: 2,
}
_ENDED: dict[Callable[[Load, Generation, int], Request], int] = {
    Load._pause: 3,
    Load._resume: 3,
    Load._respond: 3,
    Load._resolve: 4,
    Load._cancel: 4,
    Load._retarget: 2,
    Load._start_again: 15,
    Load._reopen: 15,
}
