"""The names that a client, Temporal and a worker share: AlgaPSA's, and slad's own beside them."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final

from slad.core.events import PauseReason, Phase

WORKFLOW_TYPE: Final = "slaTicketWorkflow"
EXECUTION_TIMEOUT: Final = timedelta(days=365)
"""How long a ticket's workflow may live, continued runs included; then Temporal ends it."""

QUERY_STATE: Final = "getState"
"""Answers a TicketState."""

GENERATION_MEMO: Final = "sladGeneration"
"""Memo of a workflow that slad started: the generation that it serves. It outlasts continue-as-new."""

INSTANCE_MEMO: Final = "sladInstance"
EPOCH_MEMO: Final = "sladEpoch"
"""Memos beside it: the database that started it, and which life of it."""


def workflow_id(tenant_id: str, ticket_id: str) -> str:
    """The id of a ticket's workflow."""
    return f"sla-ticket-{tenant_id}-{ticket_id}"


WORKER_PREFIX: Final = "slad:"


def worker_identity(host: str, process: int) -> str:
    """The name that a worker of slad's gives itself to Temporal; other SDKs' begin with the process."""
    return f"{WORKER_PREFIX}{process}@{host}"


def is_slads(identity: str) -> bool:
    """Whether a worker of that name is slad's."""
    return identity.startswith(WORKER_PREFIX)


class Signal(StrEnum):
    """What a workflow can be told. All but UPDATE are AlgaPSA's."""

    PAUSE = "pause"
    """With a PauseSignal."""
    RESUME = "resume"
    """AlgaPSA sends nothing with it, slad a PlainSignal."""
    COMPLETE_RESPONSE = "completeResponse"
    """With a CompleteSignal."""
    COMPLETE_RESOLUTION = "completeResolution"
    """With a CompleteSignal."""
    CANCEL = "cancel"
    """AlgaPSA sends nothing with it, slad a PlainSignal."""
    UPDATE = "sladUpdate"
    """With an UpdateSignal; slad's own."""


class Activity(StrEnum):
    """What a workflow calls. All but REPORT and SETTINGS are AlgaPSA's, served by AlgaPSA's worker."""

    REPORT = "reportSlaThresholds"
    """A ThresholdReports → nothing. Served by slad's worker: it tells the daemon."""
    SETTINGS = "sladWorkerSettings"
    """Nothing → an Effects. Served by slad's worker: what it was started with."""
    NOTIFY = "sendSlaNotification"
    """A ThresholdInput."""
    ESCALATE = "checkAndEscalate"
    """A ThresholdInput."""
    UPDATE_STATUS = "updateSlaStatus"
    """A StatusInput."""
    AUDIT = "recordSlaAuditLog"
    """An AuditInput."""
    CHECK_CLOSED = "completeIfTicketClosed"
    """A TicketInput → a ClosedTicket."""
    PAUSE_STATE = "getTicketSlaPauseState"
    """A TicketInput → a TicketPause. Since AlgaPSA's PR 3412."""


PHASE_NAMES: Final = {Phase.RESPONSE: "response", Phase.RESOLUTION: "resolution"}
PAUSE_REASONS: Final = {
    PauseReason.AWAITING_CLIENT: "awaiting_client",
    PauseReason.STATUS_PAUSE: "status_pause",
}
