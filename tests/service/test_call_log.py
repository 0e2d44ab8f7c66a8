"""What is logged of calls: which call it was, and never what is nobody's business."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc

from slad.daemon.logs import TextFormatter
from slad.service import calls
from slad.service.calls import CallLog, CallMeter
from tests.slad_under_test import refused, slad_running, start_request

SECOND_NS = 1_000_000_000


def lines(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage().startswith(message)]


async def test_a_refused_call_is_a_debug_line_that_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "slad.service.calls")
    async with slad_running(tmp_path) as slad:
        request = start_request(
            "T-1", request_id="r-1", notification_thresholds=[0], attributes={"pin": "4711"}
        )
        await refused(slad.backend.StartSlaTracking(request))
        await refused(slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id="unknown", reason=1)))
    first, second = lines(caplog, "refused: ")
    wanted = {
        "levelname": "DEBUG",
        "rpc": "StartSlaTracking",
        "code": "INVALID_ARGUMENT",
        "reason": "PERCENT_OUT_OF_RANGE",
        "field": "notification_thresholds[0]",
        "tenant_id": "acme",
        "ticket_id": "T-1",
        "request_id": "r-1",
    }
    assert {name: first.get(name) for name in wanted} == wanted
    assert (second["code"], second["reason"], second["ticket_id"]) == (
        "NOT_FOUND",
        "TRACKING_NOT_FOUND",
        "unknown",
    )
    assert "tenant_id" not in second
    assert "4711" not in str(first)


async def test_what_was_refused_for_its_length_does_not_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "slad.service.calls")
    async with slad_running(tmp_path) as slad:
        await refused(slad.start("x" * 100_000))
    (line,) = lines(caplog, "refused: ")
    assert len(line["ticket_id"]) == calls.MAX_LOGGED


async def test_an_unforeseen_error_is_logged_with_the_call_that_met_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with slad_running(tmp_path) as slad:
        monkeypatch.setattr(slad.daemon.clock, "now", lambda: 1 // 0)
        assert (await refused(slad.start("T-1"))).reason == "INTERNAL"
        monkeypatch.undo()
    (line,) = lines(caplog, "unexpected error")
    assert (line["rpc"], line["tenant_id"], line["ticket_id"]) == ("StartSlaTracking", "acme", "T-1")
    assert line["exc_info"]


def test_slow_calls_are_told_at_most_once_a_second(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(calls, "monotonic", lambda: now)
    log, request = CallLog(slow_ms=1_000), start_request("T-1", request_id="r-1")
    log.ended("StartSlaTracking", request, SECOND_NS)
    assert not lines(caplog, "slow call")
    for _ in range(4):
        log.ended("StartSlaTracking", request, 2 * SECOND_NS)
    now += 1
    log.ended("PauseSla", request, 3 * SECOND_NS)
    first, second = lines(caplog, "slow call")
    assert (first["rpc"], first["ms"], first["ticket_id"], first["request_id"]) == (
        "StartSlaTracking", 2_000, "T-1", "r-1",
    )  # fmt: skip
    assert "more" not in first
    assert (second["rpc"], second["ms"], second["more"]) == ("PauseSla", 3_000, 3)


def test_no_call_is_slow_when_that_is_turned_off(caplog: pytest.LogCaptureFixture) -> None:
    CallLog(slow_ms=0).ended("PauseSla", None, 10_000 * SECOND_NS)
    assert not caplog.records


def test_a_cancelled_call_is_no_refusal() -> None:
    meter = CallMeter("PauseSla")
    assert meter.fail(asyncio.CancelledError()) == ("CANCELLED", "")
    assert meter.failed == {"CANCELLED": 1, "INTERNAL": 0}
    assert not meter.refusals


def test_on_a_terminal_a_value_cannot_make_a_line_of_its_own() -> None:
    record = logging.makeLogRecord(
        {
            "msg": "refused",
            "levelname": "DEBUG",
            "ticket_id": "T-1\n12:00:00 ERROR forged",
            "tenant_id": "acme",
        }
    )
    line = TextFormatter().format(record)
    assert "\n" not in line
    assert line.endswith(r'ticket_id="T-1\n12:00:00 ERROR forged" tenant_id=acme')
