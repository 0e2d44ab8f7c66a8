"""slad's worker: it serves `slaTicketWorkflow` and slad's own activities on one task queue."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import grpc
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.runtime import (
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from slad.config.settings import ConnectionSettings
from slad.core.errors import Refusal, Refused
from slad.temporal.connection import connect
from slad.temporal.faults import fault_of
from slad.temporal.workflow.activities import Metadata, SladActivities
from slad.temporal.workflow.names import WORKFLOW_TYPE, worker_identity
from slad.temporal.workflow.sla_workflow import SlaTicketWorkflow
from slad.temporal.workflow.wire import Effects

log = logging.getLogger(__name__)

GRACE: Final = timedelta(seconds=10)
"""How long activities under way may take to finish when the worker is stopped."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is told."""

    connection: ConnectionSettings = field(default_factory=ConnectionSettings)
    activities_task_queue: str = ""
    """Where AlgaPSA's activities are served, for tickets that AlgaPSA's client starts. Empty: nowhere; then
    those thresholds too are reported to the daemon."""
    max_cached_workflows: int = 1_000
    """Tickets that are kept in memory; others are read from their history when they wake."""
    metrics: str = ""
    """host:port at which Prometheus metrics of Temporal's SDK are served; empty: nowhere."""
    log_level: str = "warning"
    """Of Temporal's SDK."""

    @property
    def effects(self) -> Effects:
        """What a workflow does that was not told otherwise."""
        return Effects(
            report=not self.activities_task_queue, activities_task_queue=self.activities_task_queue
        )


def make_worker(
    client: Client,
    *,
    task_queue: str,
    effects: Effects,
    daemon: grpc.aio.Channel | None,
    metadata: Metadata = (),
    max_cached_workflows: int = 1_000,
) -> Worker:
    """A worker that is ready to run.

    `effects`: what a workflow does that was not told otherwise. `daemon`: where thresholds are reported, with
    `metadata` (a token) in each call.
    """
    activities = SladActivities(effects, daemon, metadata)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[SlaTicketWorkflow],
        activities=[activities.report, activities.settings],
        # Temporal's sandbox looks for what would not be the same in a replay. Here import laws keep clocks
        # and I/O out of the workflow, and the tests replay recorded histories inside the sandbox; without it
        # the worker takes 40 % of the CPU (docs/decisions.md).
        workflow_runner=UnsandboxedWorkflowRunner(),
        graceful_shutdown_timeout=GRACE,
        max_cached_workflows=max_cached_workflows,
        identity=worker_identity(socket.gethostname(), os.getpid()),
    )


async def serve(
    settings: WorkerSettings, daemon: grpc.aio.Channel, metadata: Metadata, ready: Callable[[], None]
) -> None:
    """Runs a worker until SIGTERM or SIGINT; `ready` is called when it takes tasks. See make_worker.

    Raises Refused when Temporal cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    Runtime.set_default(_runtime(settings), error_if_already_set=False)
    client = await connect(settings.connection)
    await _check_namespace(client, settings.connection)
    worker = make_worker(
        client,
        task_queue=settings.connection.task_queue,
        effects=settings.effects,
        daemon=daemon,
        metadata=metadata,
        max_cached_workflows=settings.max_cached_workflows,
    )
    await _run(worker, settings, stop, ready)


async def _run(
    worker: Worker, settings: WorkerSettings, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    running = asyncio.create_task(worker.run(), name="temporal-worker")
    stopping = asyncio.create_task(stop.wait())
    log.info(
        "serving %s on task queue %s of %s",
        WORKFLOW_TYPE,
        settings.connection.task_queue,
        settings.connection.address,
        extra={
            "namespace": settings.connection.namespace,
            "activities_task_queue": settings.activities_task_queue,
        },
    )
    ready()
    # The worker ends by itself only when it cannot go on.
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        await worker.shutdown()
    await running
    log.info("stopped")


def _runtime(settings: WorkerSettings) -> Runtime:
    level = settings.log_level.upper().replace("WARNING", "WARN")
    # Below warnings the SDK speaks of its own innards.
    logging_config = LoggingConfig(
        filter=TelemetryFilter(core_level="DEBUG" if level == "DEBUG" else "WARN", other_level="ERROR")
    )
    metrics = PrometheusConfig(bind_address=settings.metrics) if settings.metrics else None
    try:
        return Runtime(telemetry=TelemetryConfig(logging=logging_config, metrics=metrics))
    except (RuntimeError, ValueError) as error:
        raise Refused(
            Refusal.UNAVAILABLE,
            "METRICS_ADDRESS",
            f"metrics cannot be served at {settings.metrics!r}: {error}",
        ) from error


async def _check_namespace(client: Client, settings: ConnectionSettings) -> None:
    """Asks for it once, so that what is wrong is said in plain words before any task is taken."""
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=settings.namespace)
        )
    except (RPCError, RuntimeError) as error:
        raise fault_of(settings, error).refused from error
