"""Limits are settings: what is beyond one is refused and names the field; what is within is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from slad_client.v1 import attainment_pb2
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import LedgerSettings, LimitSettings, RequestLimits
from slad.service.server import SLA_BACKEND
from tests.slad_under_test import MONDAY_9, OFFICE, Slad, refused, slad_running, stamp, target

SMALL = RequestLimits(
    id_length=5, targets=2, thresholds=2, entries=5, holidays=1, pauses=1, attributes=1, attribute_length=3,
    page_size=2,
)  # fmt: skip


def schedule(entries: int = 5, holidays: int = 0) -> pb.BusinessHoursSchedule:
    made = pb.BusinessHoursSchedule(timezone="UTC", entries=[OFFICE.entries[0]] * entries)
    for day in range(holidays):
        made.holidays.add(holiday_date=f"2026-04-{day + 1:02}")
    return made


WITHIN: dict[str, Any] = {
    "ticket": "12345",
    "targets": [target()] * 2,
    "notification_thresholds": [50, 60],
    "schedule": schedule(5, 1),
    "attributes": {"k": "xyz"},
}


@pytest.mark.parametrize(
    ("beyond", "field", "reason"),
    [
        ({"ticket": "123456"}, "ticket_id", "TOO_LONG"),
        ({"request_id": "123456"}, "request_id", "TOO_LONG"),
        ({"targets": [target()] * 3}, "targets", "TOO_MANY"),
        ({"notification_thresholds": [50, 60, 70]}, "notification_thresholds", "TOO_MANY"),
        ({"schedule": schedule(6)}, "schedule.entries", "TOO_MANY"),
        ({"schedule": schedule(1, 2)}, "schedule.holidays", "TOO_MANY"),
        ({"attributes": {"a": "", "b": ""}}, "attributes", "TOO_MANY"),
        ({"attributes": {"a": "wxyz"}}, "attributes['a']", "TOO_LONG"),
    ],
)
async def test_a_request_beyond_a_limit_names_the_field(
    tmp_path: Path, beyond: dict[str, Any], field: str, reason: str
) -> None:
    async with slad_running(tmp_path, limits=LimitSettings(SMALL)) as slad:
        assert (await slad.start(**WITHIN)).created
        got = await refused(slad.start(**(WITHIN | {"ticket": "other"} | beyond)))
        assert (got.code, got.reason, got.fields) == (grpc.StatusCode.INVALID_ARGUMENT, reason, [field])


async def pages_of(slad: Slad, size: int) -> Any:
    return await slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(page_size=size))


async def test_pages_and_pauses(tmp_path: Path) -> None:
    async with slad_running(tmp_path, limits=LimitSettings(SMALL)) as slad:
        for name in "abc":
            await slad.start(name)
        assert len((await pages_of(slad, 0)).trackings) == 2
        assert (await refused(pages_of(slad, 3))).reason == "OUT_OF_RANGE"
        preview = rpc.PreviewSlaRequest(targets=[target()], schedule=OFFICE)
        for _ in range(2):
            preview.pauses.add()
        assert (await refused(slad.backend.PreviewSla(preview))).reason == "TOO_MANY"


async def test_a_message_beyond_the_limit_is_refused_by_grpc_itself(tmp_path: Path) -> None:
    async with slad_running(tmp_path, limits=LimitSettings(message_bytes=65_536)) as slad:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await slad.start("T", attributes={"k": "x" * 70_000})
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await slad.start("T", attributes={"k": "x" * 1_000})).created


PERIOD: dict[str, Any] = {"tenant_id": "acme", "from_time": stamp(MONDAY_9), "to_time": stamp(MONDAY_9 + 1)}
ASKED: dict[str, tuple[type[Message], dict[str, Any]]] = {
    "ListSlaTrackings": (rpc.ListSlaTrackingsRequest, {}),
    "WatchSlaEvents": (rpc.WatchSlaEventsRequest, {}),
    "ReportSla": (attainment_pb2.ReportSlaRequest, PERIOD),
    "UnfoldSlaReport": (attainment_pb2.UnfoldSlaReportRequest, PERIOD),
    "ForecastSla": (attainment_pb2.ForecastSlaRequest, {"tenant_id": "acme", "until": stamp(MONDAY_9 + 1)}),
}
"""Queries that hold lists of values, and what else they need."""

LISTS = [
    (method.name, field.name)
    for method in SLA_BACKEND.methods
    for field in method.input_type.fields
    if field.is_repeated
    and (field.enum_type is not None or (field.name == "attributes" and method.name in ASKED))
]


@pytest.mark.parametrize(("method", "name"), LISTS)
async def test_a_list_of_values_is_bounded(tmp_path: Path, method: str, name: str) -> None:
    """A message holds four million of them, and to look at each would hold up the loop for seconds."""
    kind, fields = ASKED[method]
    value = "site" if name == "attributes" else 1

    def call(count: int) -> Any:
        return getattr(slad.backend, method)(kind(**fields, **{name: [value] * count}))

    async with slad_running(tmp_path, ledger=LedgerSettings(attributes=("site",))) as slad:
        taken = call(100)
        await (taken.initial_metadata() if method == "WatchSlaEvents" else first_reply(taken))
        got = await refused(first_reply(call(101)))
        assert (got.code, got.reason, got.fields) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY", [name])


async def first_reply(call: Any) -> Any:
    return await (call.read() if hasattr(call, "read") else call)
