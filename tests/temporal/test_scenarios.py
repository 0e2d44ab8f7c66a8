"""All of vectors/scenarios.json through slad's worker, each at its own dates, all of them at once.

One server whose time begins before the first case: each case is a workflow, its ops are signals at their
instants, in between the timers go off. So hundreds of tickets share a worker, and each has to come out as if
it were alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from slad.core.instants import DAY_MS, format_instant
from slad.core.tracking import Tracking
from slad.temporal.workflow import documents, names, wire
from slad.temporal.workflow.names import Signal
from slad.temporal.workflow.wire import (
    CompleteSignal,
    Effects,
    PauseSignal,
    PlainSignal,
    SignalExtension,
    StateExtension,
)
from slad.temporal.workflow.worker import make_worker
from tests.core.tickets import at, schedule_of, terms
from tests.paths import VECTORS
from tests.temporal.recording import Recorder
from tests.temporal.time_skipping import time_skipping, until

CASES = json.loads((VECTORS / "scenarios.json").read_text())["cases"]

QUEUE = "scenarios"

Step = Callable[[], Awaitable[Any]]


def signal_of(op: dict[str, Any], number: int) -> tuple[Signal, Any]:
    """An op as the signal that slad sends for it."""
    slad = SignalExtension(request_id=f"r{number}", effective_at=at(op["at"]), revision=number + 1)
    match op["op"]:
        case "pause":
            return Signal.PAUSE, PauseSignal(slad=slad)
        case "resume":
            return Signal.RESUME, PlainSignal(slad=slad)
        case "response":
            return Signal.COMPLETE_RESPONSE, CompleteSignal(slad=slad)
        case "resolution":
            return Signal.COMPLETE_RESOLUTION, CompleteSignal(slad=slad)
        case _:
            return Signal.CANCEL, PlainSignal(slad=slad)


def input_of(case: dict[str, Any], ticket_id: str) -> Any:
    percents = tuple(p for p in case["percents"] if p != 100)
    promised = terms(case["response_minutes"], case["resolution_minutes"], percents)
    state = StateExtension(generation=1, tracking=Tracking(promised, at(case["start"])))
    return wire.to_json(documents.ticket_input("acme", ticket_id, state, schedule_of(case["schedule"])))


async def test_every_scenario_vector(tmp_path: Path, daemon: Recorder) -> None:
    begins = min(at(case["start"]) for case in CASES) - DAY_MS
    async with time_skipping(begins, tmp_path) as server:
        client = server.client

        def start(number: int, case: dict[str, Any]) -> Step:
            ticket_id = f"T-{number}"
            return lambda: client.start_workflow(
                names.WORKFLOW_TYPE,
                input_of(case, ticket_id),
                id=names.workflow_id("acme", ticket_id),
                task_queue=QUEUE,
            )

        def send(number: int, place: int, op: dict[str, Any]) -> Step:
            handle = client.get_workflow_handle(names.workflow_id("acme", f"T-{number}"))
            signal, message = signal_of(op, place)
            return lambda: handle.signal(signal.value, wire.to_json(message))

        steps: dict[int, list[Step]] = defaultdict(list)
        for number, case in enumerate(CASES):
            steps[at(case["start"])].append(start(number, case))
            for place, op in enumerate(case["ops"]):
                steps[at(op["at"])].append(send(number, place, op))
        last = max(at(case["until"]) for case in CASES)
        worker = make_worker(client, task_queue=QUEUE, effects=Effects(report=True), daemon=daemon.channel)
        async with worker:
            for instant in sorted(steps):
                await server.sleep_until(instant)
                for step in steps[instant]:
                    await step()
            await server.sleep_until(last)
            await until(lambda: len(daemon.reports) >= sum(len(case["expect"]) for case in CASES))

    found = defaultdict(list)
    for report in daemon.reports:
        assert 0 <= report.fired_at - report.scheduled_at < 60_000
        found[report.ticket_id].append((format_instant(report.scheduled_at), report.phase, report.percent))
    for number, case in enumerate(CASES):
        # What falls due after `until` is not told by the case.
        # A report may come twice, as the daemon fires each once. That of case 245 does: its threshold is at
        # the instant of its resolution.
        fired = {one for one in found[f"T-{number}"] if one[0] <= case["until"]}
        assert sorted(fired) == sorted((e["at"], e["phase"], e["percent"]) for e in case["expect"]), number
