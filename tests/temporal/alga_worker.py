"""An imitation of AlgaPSA's own worker, as it was measured: it knows AlgaPSA's fields and nothing of slad.

It counts from its own start, in whole minutes, rounded up; goes through the response to its 100 % and only
then through the resolution; tells of notification thresholds and of 100 %, never of escalation percents by
themselves; and ends by itself after the last. It tells the PSA through activities, never slad.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from tests.temporal.alga import AlgaActivities


LOSES_ITS_AUDIT = workflow.HandlerUnfinishedPolicy.ABANDON
"""It may end before what a signal has to be recorded is."""


class _AlgaTicket:
    """What is alike before and after PR 3412 of AlgaPSA (September 2026)."""

    takes_over = False
    """Since the PR a run goes on where `carried` says that another left off, a pause comes back to the
    threshold that it broke off, and a lost resume is found out."""
    sweep = timedelta(seconds=60)
    """How often it is asked during a pause whether the ticket was closed."""

    def __init__(self) -> None:
        self.over: set[str] = set()
        """Phases that are through: completed, or cancelled."""
        self.state: dict[str, Any] = {
            "currentPhase": "response",
            "currentStatus": "active",
            "pauseState": {"isPaused": False, "pauseStartedAt": None, "totalPauseMinutes": 0, "reason": None},
            "notifiedThresholds": {"response": [], "resolution": []},
            "responseDeadline": None,
            "resolutionDeadline": None,
            "nextWakeTime": None,
        }

    @property
    def paused(self) -> bool:
        return bool(self.state["pauseState"]["isPaused"])

    async def live(self, given: dict[str, Any]) -> None:
        self.ticket = {"tenantId": given["tenantId"], "ticketId": given["ticketId"]}
        if not given["policyTargets"]:
            return
        started_at = workflow.now()
        if self.takes_over and "carried" in given:
            started_at = datetime.fromisoformat(given["carried"]["startedAt"])
            self.state |= given["carried"]["state"]
            if given["carried"]["responseCompleted"]:
                self.over.add("response")
        if await self._is_closed():
            return
        for phase in ("response", "resolution"):
            minutes = given["policyTargets"][0].get(f"{phase}_time_minutes")
            if minutes and phase not in self.over:
                self.state["currentPhase"] = phase
                await self._count(given, started_at, phase, minutes)

    async def _count(self, given: dict[str, Any], started_at: datetime, phase: str, minutes: int) -> None:
        ahead = sorted({*(given.get("notificationThresholds") or [50, 75, 90]), 100})
        notified = self.state["notifiedThresholds"][phase]
        while ahead and phase not in self.over:
            percent = ahead[0]
            if self.takes_over and percent in notified:
                ahead.pop(0)
                continue
            await self._outwait_pause(phase)
            if phase in self.over:
                return
            if self.takes_over:
                self._roll_over(given, started_at)
            await self._sleep(given, started_at, phase, math.ceil(minutes * percent / 100))
            if self.paused:
                if not self.takes_over:
                    ahead.pop(0)  # lost for good
                continue
            if phase in self.over or await self._is_closed():
                return
            ahead.pop(0)
            notified.append(percent)
            about = {**self.ticket, "phase": phase}
            await self._call("sendSlaNotification", {**about, "thresholdPercent": percent})
            if percent == 100:
                await self._call("updateSlaStatus", {**about, "breached": True})
            await self._call("checkAndEscalate", {**about, "thresholdPercent": percent})

    async def _outwait_pause(self, phase: str) -> None:
        while self.paused and phase not in self.over:
            try:
                await workflow.wait_condition(
                    lambda: not self.paused or phase in self.over, timeout=self.sweep
                )
            except TimeoutError:
                if await self._is_closed() or not self.takes_over:
                    continue
                if not (await self._call("getTicketSlaPauseState", self.ticket))["paused"]:
                    self.go_on()

    async def _sleep(self, given: dict[str, Any], started_at: datetime, phase: str, minutes: int) -> None:
        wake_at = await self._call(
            "calculateNextWakeTime",
            {
                "currentTime": started_at.isoformat(),
                "targetMinutes": minutes,
                "schedule": given["businessHoursSchedule"],
                "pauseMinutes": self.state["pauseState"]["totalPauseMinutes"],
            },
        )
        self.state["nextWakeTime"] = wake_at
        span = datetime.fromisoformat(wake_at) - workflow.now()
        if span > timedelta(0):
            try:
                await workflow.wait_condition(lambda: self.paused or phase in self.over, timeout=span)
            except TimeoutError:
                return

    def _roll_over(self, given: dict[str, Any], started_at: datetime) -> None:
        info = workflow.info()
        if info.get_current_history_length() < given.get("continueAsNewAfterEvents", 10_000):
            return
        carried = {
            "startedAt": started_at.isoformat(),
            "state": self.state,
            "responseCompleted": "response" in self.over,
        }
        workflow.continue_as_new({**given, "carried": carried})

    async def _is_closed(self) -> bool:
        answer = await self._call("completeIfTicketClosed", self.ticket)
        if answer["closed"]:
            self.over = {"response", "resolution"}
            self.state["currentStatus"] = "cancelled" if answer.get("reason") == "deleted" else "completed"
        return bool(answer["closed"])

    async def _call(self, name: str, given: Any) -> Any:
        return await workflow.execute_activity(name, given, start_to_close_timeout=timedelta(minutes=5))

    def go_on(self) -> None:
        """As a resume has it: whole minutes of the pause count."""
        pause = self.state["pauseState"]
        if not pause["isPaused"]:
            return
        paused_for = workflow.now() - datetime.fromisoformat(pause["pauseStartedAt"])
        pause["totalPauseMinutes"] += paused_for // timedelta(minutes=1)
        pause |= {"isPaused": False, "pauseStartedAt": None, "reason": None}
        self.state["currentStatus"] = "active"

    # --- signals and the query

    @workflow.signal
    def pause(self, given: dict[str, Any]) -> None:
        if not self.paused:
            started_at = workflow.now().isoformat()
            self.state["pauseState"] |= {
                "isPaused": True, "pauseStartedAt": started_at, "reason": given["reason"]
            }  # fmt: skip
            self.state["currentStatus"] = "paused"

    @workflow.signal
    def resume(self) -> None:
        self.go_on()

    @workflow.signal(name="completeResponse", unfinished_policy=LOSES_ITS_AUDIT)
    async def complete_response(self, given: dict[str, Any]) -> None:
        self.over.add("response")
        self.state["currentPhase"] = "resolution"
        await self._audit("sla_response_completed", given)

    @workflow.signal(name="completeResolution", unfinished_policy=LOSES_ITS_AUDIT)
    async def complete_resolution(self, given: dict[str, Any]) -> None:
        self.over = {"response", "resolution"}
        self.state["currentStatus"] = "completed"
        await self._audit("sla_resolution_completed", given)

    async def _audit(self, name: str, given: dict[str, Any]) -> None:
        data = {"met": given.get("met")}
        await self._call("recordSlaAuditLog", {**self.ticket, "eventType": name, "eventData": data})

    @workflow.signal
    def cancel(self) -> None:
        self.over = {"response", "resolution"}
        self.state["currentStatus"] = "cancelled"

    @workflow.query(name="getState")
    def get_state(self) -> dict[str, Any]:
        wake_at = self.state["nextWakeTime"]
        remaining = None
        if wake_at is not None:
            rest = datetime.fromisoformat(wake_at) - workflow.now()
            remaining = math.ceil(rest / timedelta(minutes=1))
        return {**self.state, "remainingTimeMinutes": remaining}


@workflow.defn(name="slaTicketWorkflow", sandboxed=False)
class AlgaTicketWorkflow(_AlgaTicket):
    """As it was until September 2026."""

    @workflow.run
    async def run(self, given: dict[str, Any]) -> None:
        await self.live(given)


@workflow.defn(name="slaTicketWorkflow", sandboxed=False)
class AlgaTicketWorkflow3412(_AlgaTicket):
    """As it has been since."""

    takes_over = True
    sweep = timedelta(minutes=5)

    @workflow.run
    async def run(self, given: dict[str, Any]) -> None:
        await self.live(given)


@asynccontextmanager
async def alga_worker(
    client: Client, queue: str, activities: AlgaActivities, kind: type[Any] = AlgaTicketWorkflow
) -> AsyncIterator[None]:
    """AlgaPSA's worker: its workflows and activities on one queue, under the name of its process."""
    async with Worker(client, task_queue=queue, workflows=[kind], activities=activities.all):
        yield
