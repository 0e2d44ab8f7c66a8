"""AlgaPSA's two sides: the client that starts and signals workflows, the activities that its worker serves.

Made after its interface; what they are told is written down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

ACTIVITIES_QUEUE = "alga-activities"
QUESTIONS = ("completeIfTicketClosed", "getTicketSlaPauseState")


@dataclass
class AlgaClient:
    """Does what AlgaPSA's TemporalSlaBackend does: no ids of requests, no times, no waiting."""

    client: Client
    task_queue: str = "sla-workflows"
    tenant: str = "acme"

    async def start_sla_tracking(
        self,
        ticket_id: str,
        targets: list[Any],
        schedule: dict[str, Any],
        thresholds: list[int] | None = None,
    ) -> WorkflowHandle[Any, Any]:
        given = {
            "ticketId": ticket_id,
            "tenantId": self.tenant,
            "policyTargets": targets,
            "businessHoursSchedule": schedule,
        }
        if thresholds is not None:
            given["notificationThresholds"] = thresholds
        return await self.client.start_workflow(
            "slaTicketWorkflow",
            given,
            id=f"sla-ticket-{self.tenant}-{ticket_id}",
            task_queue=self.task_queue,
            execution_timeout=timedelta(days=365),
        )

    async def pause_sla(self, ticket_id: str, reason: str) -> None:
        await self._handle(ticket_id).signal("pause", {"reason": reason})

    async def resume_sla(self, ticket_id: str) -> None:
        await self._handle(ticket_id).signal("resume")

    async def complete_sla(self, ticket_id: str, kind: str, met: bool | None) -> None:
        name = "completeResponse" if kind == "response" else "completeResolution"
        await self._handle(ticket_id).signal(name, {"met": met})

    async def cancel_sla(self, ticket_id: str) -> None:
        await self._handle(ticket_id).signal("cancel")

    async def get_sla_status(self, ticket_id: str) -> dict[str, Any]:
        state: dict[str, Any] = await self._handle(ticket_id).query("getState")
        return state

    def _handle(self, ticket_id: str) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(f"sla-ticket-{self.tenant}-{ticket_id}")


@dataclass
class AlgaActivities:
    """The activities of AlgaPSA's worker. `closed`: tickets that are closed in its database, and why.

    `paused`: tickets that are paused there, with the reason.
    """

    calls: list[tuple[str, Any]] = field(default_factory=list)
    closed: dict[str, str] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)
    hook: Callable[[str, Any], None] = lambda _name, _input: None
    """Called before each; what it raises is what the activity raises."""

    def _do(self, name: str, given: Any) -> None:
        self.hook(name, given)
        self.calls.append((name, given))

    @activity.defn(name="sendSlaNotification")
    async def send_sla_notification(self, given: Any) -> None:
        self._do("sendSlaNotification", given)

    @activity.defn(name="checkAndEscalate")
    async def check_and_escalate(self, given: Any) -> None:
        self._do("checkAndEscalate", given)

    @activity.defn(name="updateSlaStatus")
    async def update_sla_status(self, given: Any) -> None:
        self._do("updateSlaStatus", given)

    @activity.defn(name="recordSlaAuditLog")
    async def record_sla_audit_log(self, given: Any) -> None:
        self._do("recordSlaAuditLog", given)

    @activity.defn(name="completeIfTicketClosed")
    async def complete_if_ticket_closed(self, given: Any) -> Any:
        self._do("completeIfTicketClosed", given)
        reason = self.closed.get(given["ticketId"])
        if reason is None:
            return {"closed": False, "responseMet": None, "resolutionMet": None}
        return {"closed": True, "responseMet": True, "resolutionMet": False, "reason": reason}

    @activity.defn(name="getTicketSlaPauseState")
    async def get_ticket_sla_pause_state(self, given: Any) -> Any:
        self._do("getTicketSlaPauseState", given)
        reason = self.paused.get(given["ticketId"])
        return {"paused": reason is not None, "reason": reason}

    @activity.defn(name="calculateNextWakeTime")
    async def calculate_next_wake_time(self, given: Any) -> str:
        """Round the clock, which is all that the tests use."""
        minutes = given["targetMinutes"] + given["pauseMinutes"]
        return (datetime.fromisoformat(given["currentTime"]) + timedelta(minutes=minutes)).isoformat()

    def of(self, ticket_id: str, *, checks: bool = False) -> list[str]:
        """The calls for a ticket as short words, without the questions whether it is closed or paused."""
        words = []
        for name, given in self.calls:
            if given["ticketId"] == ticket_id and (checks or name not in QUESTIONS):
                about = [given.get("phase"), given.get("thresholdPercent"), given.get("breached")]
                about += [given.get("eventType"), given.get("eventData", {}).get("met")]
                words.append(" ".join([name, *(str(word) for word in about if word is not None)]))
        return words

    @property
    def all(self) -> list[Callable[..., Any]]:
        return [
            self.send_sla_notification,
            self.check_and_escalate,
            self.update_sla_status,
            self.record_sla_audit_log,
            self.complete_if_ticket_closed,
            self.get_ticket_sla_pause_state,
            self.calculate_next_wake_time,
        ]

    @asynccontextmanager
    async def serving(self, client: Client) -> AsyncIterator[None]:
        """AlgaPSA's worker, as far as it serves activities."""
        async with Worker(client, task_queue=ACTIVITIES_QUEUE, activities=self.all):
            yield
