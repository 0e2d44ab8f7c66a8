"""slad's worker: it serves `slaTicketWorkflow` and slad's own activities on one task queue."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import grpc
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from slad.temporal.activities import SladActivities
from slad.temporal.wire import Effects
from slad.temporal.workflow import SlaTicketWorkflow

GRACE: Final = timedelta(seconds=10)
"""How long activities under way may take to finish when the worker is stopped."""

PASSED_THROUGH: Final = ("tzdata",)
"""Shared by all workflows instead of being imported anew for each, as is what the workflow's module lists."""


def make_worker(
    client: Client,
    *,
    task_queue: str,
    effects: Effects,
    daemon: grpc.aio.Channel | None,
    max_cached_workflows: int = 1_000,
) -> Worker:
    """A worker that is ready to run.

    `effects`: what a workflow does that was not told otherwise. `daemon`: where thresholds are reported.
    """
    activities = SladActivities(effects, daemon)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[SlaTicketWorkflow],
        activities=[activities.report, activities.settings],
        workflow_runner=workflow_runner(),
        graceful_shutdown_timeout=GRACE,
        max_cached_workflows=max_cached_workflows,
    )


def workflow_runner() -> SandboxedWorkflowRunner:
    """Runs workflows in Temporal's sandbox, which lets no clock and no I/O into the workflow's own code."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    )
