"""An imitation of AlgaPSA's own worker, as slad finds it: it knows AlgaPSA's fields and nothing of slad.

One phase after the other, thresholds in a loop that a pause breaks off, signals without slad's extension. It
tells the PSA through activities, never slad.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from temporalio import activity, workflow

TOLD: list[tuple[str, str, str, int]] = []
"""(activity, ticket, phase, percent) of each call; the PSA's side."""


@activity.defn(name="sendSlaNotification")
async def notify(given: dict[str, Any]) -> None:
    TOLD.append(("sendSlaNotification", given["ticketId"], given["phase"], given["thresholdPercent"]))


@workflow.defn(name="slaTicketWorkflow", sandboxed=False)
class AlgaTicketWorkflow:
    """24x7 only, which is all that the tests use."""

    def __init__(self) -> None:
        self.paused = False
        self.reason: str | None = None
        self.completed: set[str] = set()
        self.cancelled = False
        self.notified: dict[str, list[int]] = {"response": [], "resolution": []}
        self.phase = "response"
        self.strange: list[str] = []

    @workflow.run
    async def run(self, given: dict[str, Any]) -> None:
        target = given["policyTargets"][0]
        percents = [*given["notificationThresholds"], 100]
        started_at = workflow.now()
        for phase in ("response", "resolution"):
            self.phase = phase
            minutes = target.get(f"{phase}_time_minutes")
            for percent in percents if minutes else ():
                await self._until(started_at + timedelta(minutes=minutes * percent / 100), phase)
                if self.cancelled or phase in self.completed:
                    break
                self.notified[phase].append(percent)
                await workflow.execute_activity(
                    "sendSlaNotification",
                    {
                        "tenantId": given["tenantId"],
                        "ticketId": given["ticketId"],
                        "phase": phase,
                        "thresholdPercent": percent,
                    },
                    start_to_close_timeout=timedelta(seconds=30),
                )
            await workflow.wait_condition(lambda phase=phase: self.cancelled or phase in self.completed)
            if self.cancelled:
                return

    async def _until(self, moment: datetime, phase: str) -> None:
        while not (self.cancelled or phase in self.completed):
            await workflow.wait_condition(lambda: not self.paused or self.cancelled)
            rest = moment - workflow.now()
            if rest <= timedelta(0):
                return
            try:
                await workflow.wait_condition(
                    lambda: self.paused or self.cancelled or phase in self.completed, timeout=rest
                )
            except TimeoutError:
                return

    @workflow.signal
    def pause(self, given: dict[str, Any]) -> None:
        self.paused, self.reason = True, given["reason"]

    @workflow.signal
    def resume(self) -> None:
        self.paused = False

    @workflow.signal(name="completeResponse")
    def complete_response(self, given: dict[str, Any]) -> None:
        self.completed.add("response")

    @workflow.signal(name="completeResolution")
    def complete_resolution(self, given: dict[str, Any]) -> None:
        self.completed |= {"response", "resolution"}

    @workflow.signal
    def cancel(self) -> None:
        self.cancelled = True

    @workflow.query(name="getState")
    def state(self) -> dict[str, Any]:
        return {
            "currentPhase": self.phase,
            "currentStatus": "paused" if self.paused else "active",
            "pauseState": {
                "isPaused": self.paused,
                "pauseStartedAt": None,
                "totalPauseMinutes": 0,
                "reason": self.reason,
            },
            "notifiedThresholds": self.notified,
            "responseDeadline": None,
            "resolutionDeadline": None,
            "nextWakeTime": None,
            "remainingTimeMinutes": None,
        }
