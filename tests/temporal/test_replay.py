"""Histories that earlier versions of the workflow wrote, replayed by this one.

A difference would stop every workflow in flight that has such a history. See record_histories.py.
"""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from slad.temporal.workflow.sla_workflow import SlaTicketWorkflow
from tests.temporal.record_histories import HISTORIES

FILES = sorted(HISTORIES.glob("*.json.gz"))


def document(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


SANDBOX = SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules("tzdata"))
"""Raises when the workflow looks at a clock, at the disk, or at what else a replay would not see again."""


async def replay(history: Any, runner: WorkflowRunner) -> Exception | None:
    replayer = Replayer(workflows=[SlaTicketWorkflow], workflow_runner=runner)
    result = await replayer.replay_workflow(
        WorkflowHistory.from_json("sla-ticket-acme-T-1", history), raise_on_replay_failure=False
    )
    return result.replay_failure


def test_there_are_histories_of_every_kind_of_life() -> None:
    assert {path.name.partition("-")[2].removesuffix(".json.gz") for path in FILES} >= {
        "alga-closed",
        "alga-life",
        "alga-lost-resume",
        "continued-run-1",
        "continued-run-2",
        "daemon-away",
        "daemon-life",
        "daemon-overdue-and-paused",
    }


@pytest.mark.parametrize("runner", [SANDBOX, UnsandboxedWorkflowRunner()], ids=["sandbox", "as served"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".json.gz"))
async def test_a_recorded_history_replays(path: Path, runner: WorkflowRunner) -> None:
    assert await replay(document(path), runner) is None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".json.gz"))
def test_a_recorded_history_tells_nothing_of_the_machine(path: Path) -> None:
    text = json.dumps(document(path))
    assert "/site-packages/" not in text
    assert "@" not in text
    assert socket.gethostname() not in text


def another_report(history: Any) -> None:
    """The workflow would have called another activity."""
    for event in history["events"]:
        for name in ("activityType",):
            found = event.get("activityTaskScheduledEventAttributes", {}).get(name)
            if found:
                found["name"] = "somethingElse"


def no_timer(history: Any) -> None:
    """The workflow would not have slept."""
    started = next(e for e in history["events"] if e["eventType"] == "EVENT_TYPE_TIMER_STARTED")
    started["eventType"] = "EVENT_TYPE_MARKER_RECORDED"
    del started["timerStartedEventAttributes"]
    started["markerRecordedEventAttributes"] = {"markerName": "x", "workflowTaskCompletedEventId": "4"}


@pytest.mark.parametrize("change", [another_report, no_timer])
async def test_a_history_of_a_different_workflow_does_not_replay(change: Callable[[Any], None]) -> None:
    """So that the test above can fail."""
    history = document(next(path for path in FILES if path.name.endswith("daemon-away.json.gz")))
    change(history)
    assert await replay(history, UnsandboxedWorkflowRunner()) is not None
