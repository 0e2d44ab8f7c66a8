"""Every figure of a report is that of a naive count from the events alone, and is told again (A4, A5)."""

from __future__ import annotations

import random
from pathlib import Path

import grpc
import pytest
from slad_client.v1 import attainment_pb2 as pb
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as types

from tests.service.naive_ledger import NaiveLedger, told
from tests.slad_under_test import MONDAY_9, Slad, slad_running

MINUTE = 60_000
TICKETS = tuple(f"T-{number}" for number in range(6))
STEPS = 80
REFUSALS = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
)
"""What comes of commands that are not possible as things stand."""

LATE = (0, 0, 0, 1, 3, 9, 25)
"""Minutes by which slad is told late of what happened."""


class Desk:
    """Does something or other to some tickets, and keeps what it is told of them."""

    def __init__(self, slad: Slad, seed: int) -> None:
        self.slad, self.random = slad, random.Random(seed)
        self.naive = NaiveLedger(("response", "resolution"))
        self.heard = 0

    async def step(self) -> None:
        await self.slad.advance(minutes=self.random.choice((1, 1, 2, 5, 13)))
        ticket = self.random.choice(TICKETS)
        try:
            await self.random.choice(
                (self.start, self.start, self.pause_pair, self.pause, self.resume, self.respond, self.write,
                 self.write, self.resolve, self.cancel, self.reopen, self.retarget, self.annotate)
            )(ticket)  # fmt: skip
        except grpc.aio.AioRpcError as error:
            if error.code() not in REFUSALS:
                raise
        await self.hear()

    async def hear(self) -> None:
        for event in await self.slad.events(self.heard):
            self.heard = event.sequence
            self.naive.hear(event)

    def terms(self) -> dict[str, object]:
        response, resolution, reply = (self.random.choice((5, 12, 30, 60)) for _ in range(3))
        minutes = {"response": response, "resolution": resolution, "reply": reply}
        self.promised = {clock: span * MINUTE for clock, span in minutes.items()}
        return {
            "targets": [
                types.SlaPolicyTarget(
                    response_time_minutes=response, resolution_time_minutes=resolution, is_24x7=True
                )
            ],
            "clocks": [
                types.SlaClockTerms(name="reply", kind=types.SLA_CLOCK_KIND_NEXT_REPLY, target_minutes=reply)
            ],
            "policy_id": self.random.choice(("gold", "silver")),
        }

    async def start(self, ticket: str) -> None:
        reply = await self.slad.start(ticket, schedule=None, **self.terms())
        if reply.created:
            self.naive.promised[ticket] = self.promised

    def late(self, request: object) -> object:
        at = self.slad.now - self.random.choice(LATE) * MINUTE
        request.effective_at.FromMilliseconds(at)  # type: ignore[attr-defined]
        return request

    async def pause_pair(self, ticket: str) -> None:
        """A pause that is over when slad hears of it, where the ticket was running."""
        status = await self._status(ticket)
        end = self.slad.now - self.random.choice((1, 4)) * MINUTE
        begin = end - self.random.choice((1, 2, 7)) * MINUTE
        life = next(
            (life for key, life in self.naive.lives.items() if key[0] == ticket and not life.ended_at), None
        )
        if status.is_paused or life is None or begin < status.started_at.ToMilliseconds():
            return
        marks = [*life.pauses, *life.resumes, *(at for gap in life.gaps for at in gap)]
        if any(at >= begin for at in marks):
            return
        pause = rpc.PauseSlaRequest(ticket_id=ticket, reason=types.SLA_PAUSE_REASON_AWAITING_CLIENT)
        pause.effective_at.FromMilliseconds(begin)
        await self.slad.backend.PauseSla(pause)
        resume = rpc.ResumeSlaRequest(ticket_id=ticket)
        resume.effective_at.FromMilliseconds(end)
        await self.slad.backend.ResumeSla(resume)

    async def pause(self, ticket: str) -> None:
        request = rpc.PauseSlaRequest(ticket_id=ticket, reason=types.SLA_PAUSE_REASON_AWAITING_CLIENT)
        await self.slad.backend.PauseSla(request)

    async def resume(self, ticket: str) -> None:
        await self.slad.backend.ResumeSla(rpc.ResumeSlaRequest(ticket_id=ticket))

    async def respond(self, ticket: str) -> None:
        request = rpc.CompleteSlaRequest(ticket_id=ticket, phase=types.SLA_PHASE_RESPONSE)
        await self.slad.backend.CompleteSla(self.late(request))

    async def write(self, ticket: str) -> None:
        sender = self.random.choice((types.SLA_MESSAGE_SENDER_AGENT, types.SLA_MESSAGE_SENDER_CUSTOMER))
        await self.slad.backend.RecordSlaMessage(
            self.late(rpc.RecordSlaMessageRequest(ticket_id=ticket, sender=sender))
        )

    async def resolve(self, ticket: str) -> None:
        await self.slad.backend.CompleteSla(
            rpc.CompleteSlaRequest(ticket_id=ticket, phase=types.SLA_PHASE_RESOLUTION)
        )

    async def cancel(self, ticket: str) -> None:
        await self.slad.backend.CancelSla(rpc.CancelSlaRequest(ticket_id=ticket))

    async def reopen(self, ticket: str) -> None:
        request = rpc.ReopenSlaRequest(ticket_id=ticket, mode=types.REOPEN_MODE_RESUME)
        await self.slad.backend.ReopenSla(request)

    async def retarget(self, ticket: str) -> None:
        await self.slad.backend.RetargetSla(rpc.RetargetSlaRequest(ticket_id=ticket, **self.terms()))
        self.naive.promised[ticket] = self.promised

    async def annotate(self, ticket: str) -> None:
        clock = self.random.choice(("response", "resolution", "reply"))
        life = next((life for key, life in reversed(self.naive.lives.items()) if key[0] == ticket), None)
        openings = sorted(opened for name, opened in life.cycles if name == clock) if life else []
        excused = self.random.random() < 0.7
        request = pb.AnnotateSlaRequest(ticket_id=ticket, clock=clock, reason_code="vendor", excused=excused)
        await self.slad.backend.AnnotateSla(request)
        key = ticket, clock, openings[-1]
        self.naive.excused.add(key) if excused else self.naive.excused.discard(key)

    async def _status(self, ticket: str) -> types.SlaStatus:
        return (await self.slad.backend.GetSlaStatus(rpc.GetSlaStatusRequest(ticket_id=ticket))).status

    def question(self) -> pb.ReportSlaRequest:
        request = pb.ReportSlaRequest(
            tenant_id="acme",
            by=self.random.choice((pb.SLA_REPORT_BY_DUE, pb.SLA_REPORT_BY_CLOSED, pb.SLA_REPORT_BY_OPENED)),
            group_by=[pb.SLA_GROUP_KEY_CLOCK],
        )
        begin, end = MONDAY_9, self.slad.now + 120 * MINUTE
        if self.random.random() < 0.5:
            begin += self.random.randrange(0, self.slad.now - MONDAY_9 + 1)
            end = begin + self.random.choice((10, 60, 200)) * MINUTE
        request.from_time.FromMilliseconds(begin)
        request.to_time.FromMilliseconds(end)
        return request

    def check(self, request: pb.ReportSlaRequest, reply: pb.ReportSlaResponse) -> None:
        by = pb.SlaReportBy.Name(request.by).removeprefix("SLA_REPORT_BY_")
        period = request.from_time.ToMilliseconds(), request.to_time.ToMilliseconds()
        assert told(reply.total) == self.naive.row(by, *period, self.slad.now)
        rows = {row.group[0]: told(row) for row in reply.rows}
        for clock in ("response", "resolution", "reply"):
            naive = self.naive.row(by, *period, self.slad.now, clock)
            if clock in rows:
                assert rows[clock] == naive
            else:
                assert not any(value for value in naive.values())


@pytest.mark.parametrize("seed", range(12))
async def test_every_figure_is_that_of_a_naive_count_and_is_told_again(tmp_path: Path, seed: int) -> None:
    async with slad_running(tmp_path) as slad:
        desk = Desk(slad, seed)
        answers = []
        for _ in range(STEPS):
            await desk.step()
            request = desk.question()
            reply = await slad.backend.ReportSla(request)
            desk.check(request, reply)
            request.as_of.CopyFrom(reply.as_of)
            answers.append((request, reply.SerializeToString(deterministic=True)))
        for request, answer in answers:
            again = await slad.backend.ReportSla(request)
            assert again.SerializeToString(deterministic=True) == answer
