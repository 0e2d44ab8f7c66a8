"""`slad doctor`, where Temporal is concerned: can it be used, and does anybody serve the tickets?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from slad.config.settings import ConnectionSettings
from slad.core.errors import Refused
from slad.engine.doctor import CheckResult, Severity
from slad.temporal.connection import connect
from slad.temporal.faults import TemporalFault
from slad.temporal.passthrough.link import Link
from slad.temporal.passthrough.routing import Standing
from slad.temporal.passthrough.sender import Sender

LINK: Final = "temporal"
WORKERS: Final = "temporal workers"
NAMED: Final = 5
"""Workers that are named of each kind."""


async def examine_link(settings: ConnectionSettings) -> list[CheckResult]:
    """Checks the connection, the namespace, and who takes workflows from the task queue."""
    standing = Standing()
    try:
        sender = Sender(settings, await connect(settings, lazy=True), standing)
        await sender.probe()
        await Link(sender, standing).look_at_workers()
    except Refused as refused:
        return [CheckResult(Severity.FAILURE, LINK, f"{refused.message} ({refused.reason})")]
    except TemporalFault as fault:
        return [CheckResult(Severity.FAILURE, LINK, f"{fault.refused.message} ({fault.refused.reason})")]
    where = f"{settings.address}, namespace {settings.namespace}"
    text = f"{where} can be used{', over TLS' if settings.uses_tls else ''}"
    return [CheckResult(Severity.OK, LINK, text), workers_result(standing, settings.task_queue)]


def workers_result(standing: Standing, queue: str) -> CheckResult:
    """Who serves the task queue, and whether that can be meant."""
    slads, others = standing.slad_workers, standing.other_workers
    if not standing.tells_workers:
        return CheckResult(Severity.WARNING, WORKERS, f"Temporal does not say who serves task queue {queue}")
    if slads and others:
        text = (
            f"two kinds take workflows from task queue {queue}, and neither can go on with the other's: "
            f"slad's ({_names(slads)}) and others ({_names(others)}). Stop one kind, or give slad a queue of "
            "its own with temporal.task_queue; AlgaPSA's worker always takes from sla-workflows"
        )
        return CheckResult(Severity.WARNING, WORKERS, text)
    if slads:
        return CheckResult(Severity.OK, WORKERS, f"{len(slads)} on task queue {queue}: {_names(slads)}")
    if others:
        text = f"{len(others)} on task queue {queue}, not slad's: {_names(others)}. slad fires the thresholds"
        return CheckResult(Severity.OK, WORKERS, text)
    return CheckResult(Severity.WARNING, WORKERS, f"none on task queue {queue}; start `slad temporal-worker`")


def _names(workers: Iterable[str]) -> str:
    return ", ".join(sorted(workers)[:NAMED])
