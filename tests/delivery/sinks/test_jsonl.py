"""The example sink: CloudEvents, a line each, whole and once, whatever happens to the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slad.delivery.sinks import jsonl
from slad.delivery.sinks.kinds import KINDS
from tests.delivery.sinks.desk import QUICK, Desk, desk


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def table(path: Path) -> dict[str, Any]:
    return {"type": "jsonl", "path": str(path), **QUICK}


async def delivered(desk: Desk) -> None:
    await desk.until(lag=0)


async def test_events_become_lines_in_order_and_each_once_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    async with desk(tmp_path / "data", s=table(path)) as first:
        await first.tickets("A", "B")
        await delivered(first)
    async with desk(tmp_path / "data", s=table(path)) as second:
        await second.tickets("C")
        await second.slad.advance(minutes=30)
        sink = await second.until(lag=0)
    got = lines(path)
    assert [event["sequence"] for event in got] == [str(n) for n in range(1, len(got) + 1)]
    assert [event["subject"] for event in got][:3] == ["A", "B", "C"]
    assert {event["type"] for event in got} == {"slad.v1.started", "slad.v1.threshold_reached"}
    assert sink.delivered == len(got) - 2
    assert sink.target == str(path)


async def test_a_torn_line_is_cut_off_and_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"id": "whole"}\n{"id": "torn, by a crash' + b"x" * 10_000)
    async with desk(tmp_path / "data", s=table(path)) as running:
        await running.tickets("A")
        await delivered(running)
    assert [event.get("subject", event["id"]) for event in lines(path)] == ["whole", "A"]


async def test_a_file_that_is_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    async with desk(tmp_path / "data", s=table(path)) as running:
        await running.tickets("A")
        await delivered(running)
        path.rename(tmp_path / "events.1")
        await running.tickets("B")
        await delivered(running)
    assert [event["subject"] for event in lines(path)] == ["B"]


async def test_a_file_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.mkdir()
    async with desk(tmp_path / "data", s=table(path)) as running:
        await running.tickets("A", "B")
        sink = await running.until(failures=lambda count: count > 6)
        assert sink.last_error == f"{path} cannot be written: Is a directory"
        assert (sink.lag, sink.parked) == (2, 0)
        path.rmdir()
        await delivered(running)
    assert [event["subject"] for event in lines(path)] == ["A", "B"]


def test_the_example_is_short_and_needs_one_row() -> None:
    assert len(Path(jsonl.__file__).read_text("utf-8").splitlines()) < 100
    assert KINDS["jsonl"] == ("slad.delivery.sinks.jsonl", "")


@pytest.mark.parametrize("size", [0, 1, jsonl.BLOCK - 1, jsonl.BLOCK, jsonl.BLOCK + 1, 3 * jsonl.BLOCK])
def test_the_end_of_the_last_line_is_found_wherever_it_is(tmp_path: Path, size: int) -> None:
    path = tmp_path / "lines"
    for whole in (b"", b"x\n", b"y" * jsonl.BLOCK + b"\n"):
        path.write_bytes(whole + b"z" * size)
        with path.open("rb") as file:
            assert jsonl._end_of_last_line(file.fileno()) == len(whole)
