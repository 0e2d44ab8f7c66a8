"""The request that every call of the load carries: a ticket as a PSA would start it."""

from __future__ import annotations

from random import Random
from typing import Final

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

_HOLIDAYS: Final = (
    ("New Year's Day", "2026-01-01", True),
    ("Good Friday", "2026-04-03", False),
    ("Easter Monday", "2026-04-06", False),
    ("Labour Day", "2026-05-01", True),
    ("Ascension Day", "2026-05-14", False),
    ("Whit Monday", "2026-05-25", False),
    ("German Unity Day", "2026-10-03", True),
    ("Christmas Eve", "2026-12-24", True),
    ("Christmas Day", "2026-12-25", True),
    ("Boxing Day", "2026-12-26", True),
)


class StartRequests:
    """Serialized StartSlaTrackingRequests of one tenant and policy, each for a ticket of its own.

    All are of the same size: a template is serialized once, and each request has other ids in it. The ids are
    random (UUID version 4), as a PSA's are: in order, they would spare the database's indexes.
    """

    def __init__(self, seed: int | None = None, *, with_request_id: bool = True) -> None:
        self._random = Random(seed)
        ticket_id, request_id = self._uuid(), self._uuid() if with_request_id else ""
        head, rest = self._template(ticket_id, request_id).split(ticket_id.encode())
        self._head = head
        self._middle, self._tail = rest.split(request_id.encode()) if request_id else (rest, b"")
        self._with_request_id = with_request_id

    def next(self) -> bytes:
        """The request for another ticket."""
        ticket_id = self._uuid().encode()
        request_id = self._uuid().encode() if self._with_request_id else b""
        return b"".join((self._head, ticket_id, self._middle, request_id, self._tail))

    def _template(self, ticket_id: str, request_id: str) -> bytes:
        tenant_id, policy_id, priority_id = self._uuid(), self._uuid(), self._uuid()
        target = pb.SlaPolicyTarget(
            target_id=self._uuid(),
            sla_policy_id=policy_id,
            priority_id=priority_id,
            response_time_minutes=60,
            resolution_time_minutes=480,
            escalation_1_percent=70,
            escalation_2_percent=90,
            escalation_3_percent=110,
        )
        schedule = pb.BusinessHoursSchedule(
            tenant=tenant_id,
            schedule_id=self._uuid(),
            schedule_name="Office hours",
            timezone="Europe/Berlin",
            is_default=True,
            entries=[
                pb.BusinessHoursEntry(
                    entry_id=self._uuid(),
                    day_of_week=day,
                    start_time="08:00",
                    end_time="18:00",
                    is_enabled=True,
                )
                for day in range(1, 6)
            ],
            holidays=[
                pb.Holiday(
                    holiday_id=self._uuid(), holiday_name=name, holiday_date=date, is_recurring=recurring
                )
                for name, date, recurring in _HOLIDAYS
            ],
        )
        return rpc.StartSlaTrackingRequest(
            tenant_id=tenant_id,
            ticket_id=ticket_id,
            policy_id=policy_id,
            targets=[target],
            priority_id=priority_id,
            schedule=schedule,
            notification_thresholds=[50, 75, 90],
            request_id=request_id,
        ).SerializeToString()

    def _uuid(self) -> str:
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
