"""`slad doctor`, where Temporal is concerned: can it be used, and does anybody serve the tickets?"""

from __future__ import annotations

from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from slad.config.settings import ConnectionSettings
from slad.core.errors import Refused
from slad.engine.doctor import CheckResult, Verdict
from slad.temporal.connection import RPC_TIMEOUT, connect
from slad.temporal.faults import Fault
from slad.temporal.passthrough.sender import Sender

LINK: Final = "temporal"
WORKERS: Final = "temporal workers"


async def examine_link(settings: ConnectionSettings) -> list[CheckResult]:
    """Checks the connection, the namespace, and that workers wait for workflows on the task queue."""
    try:
        client = await connect(settings, lazy=True)
        await Sender(settings, client).probe()
        workers = await _pollers(settings, client)
    except Refused as refused:
        return [CheckResult(Verdict.FAILURE, LINK, f"{refused.message} ({refused.reason})")]
    except Fault as fault:
        return [CheckResult(Verdict.FAILURE, LINK, f"{fault.refused.message} ({fault.refused.reason})")]
    where = f"{settings.address}, namespace {settings.namespace}"
    found = [CheckResult(Verdict.OK, LINK, f"{where} can be used{', over TLS' if settings.uses_tls else ''}")]
    if workers:
        text = f"{len(workers)} on task queue {settings.task_queue}: {', '.join(sorted(workers)[:5])}"
        found.append(CheckResult(Verdict.OK, WORKERS, text))
    else:
        text = f"none on task queue {settings.task_queue}; start `slad temporal-worker`"
        found.append(CheckResult(Verdict.WARNING, WORKERS, text))
    return found


async def _pollers(settings: ConnectionSettings, client: Client) -> set[str]:
    request = DescribeTaskQueueRequest(
        namespace=settings.namespace,
        task_queue=TaskQueue(name=settings.task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    call = client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)
    described = await Sender(settings, client).called(call)
    return {poller.identity for poller in described.pollers}
