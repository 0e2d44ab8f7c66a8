"""Limits are settings: what is beyond one is refused and names the field; what is within is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import LimitSettings, RequestLimits
from tests.slad_under_test import OFFICE, Slad, refused, slad_running, target

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
