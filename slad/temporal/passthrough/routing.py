"""Which engine a ticket gets when it starts, and what Temporal can carry."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from slad.core.errors import InvalidField
from slad.core.instants import SECOND_MS
from slad.core.tracking import Engine
from slad.engine.commands import TermsOffer
from slad.temporal.connection import ConnectionSettings
from slad.temporal.workflow.wire import workflow_id

log = logging.getLogger(__name__)

MAX_WORKFLOW_ID_BYTES: Final = 1_000
"""What Temporal allows an id to have (its `limit.maxIDLength`)."""

MAX_SCHEDULE_BYTES: Final = 512 * 1024
"""Stored bytes of a schedule. As JSON it is at most three times as large, and Temporal takes 2 MiB."""


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Whose tickets Temporal carries."""

    mode: str = "local"
    """local, temporal, or by-tenant."""
    tenants: tuple[str, ...] = ()
    """by-tenant: names or patterns (`*`, `?`, `[abc]`) of the tenants whose tickets Temporal carries."""
    fallback_local: bool = False
    """Whether the local engine takes a ticket that starts while Temporal cannot be reached."""
    grace_ms: int = 60 * SECOND_MS
    """How long after a threshold is due its workflow is looked at, if no report has come."""

    @property
    def uses_temporal(self) -> bool:
        """Whether any ticket may go to Temporal."""
        return self.mode != "local"


@dataclass(frozen=True, slots=True)
class TemporalSettings:
    """Pass-through: whose tickets Temporal carries, and where it is."""

    routing: RoutingSettings = field(default_factory=RoutingSettings)
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)
    repair: str = "restart"
    """restart or park: what becomes of a workflow that ended or vanished under a live ticket."""


class Routing:
    """The choice of an engine. `is_reachable`: whether Temporal answered when it was last asked."""

    def __init__(self, settings: RoutingSettings, is_reachable: Callable[[], bool]) -> None:
        self.settings = settings
        self.is_reachable = is_reachable
        self._is_falling_back = False
        self.fallbacks = 0
        """Tickets that the local engine took because Temporal could not be reached."""

    def choose(self, tenant_id: str) -> Engine:
        """The engine for a ticket of this tenant that starts now."""
        settings = self.settings
        if settings.mode == "local" or not (
            settings.mode == "temporal" or any(fnmatchcase(tenant_id, p) for p in settings.tenants)
        ):
            return Engine.LOCAL
        if not settings.fallback_local or self.is_reachable():
            self._is_falling_back = False
            return Engine.TEMPORAL
        if not self._is_falling_back:
            # Once an outage: a desk may start a thousand tickets in it.
            log.warning("Temporal cannot be reached: the local engine takes the tickets that start")
        self._is_falling_back = True
        self.fallbacks += 1
        return Engine.LOCAL


def check_carriable(tenant_id: str, ticket_id: str, offer: TermsOffer | None = None) -> None:
    """Raises InvalidField for a ticket or terms that Temporal cannot carry."""
    length = len(workflow_id(tenant_id, ticket_id).encode())
    if length > MAX_WORKFLOW_ID_BYTES:
        raise InvalidField(
            "ticket_id",
            "TOO_LONG_FOR_TEMPORAL",
            f"the id of its workflow would have {length} bytes, Temporal accepts {MAX_WORKFLOW_ID_BYTES}",
        )
    if offer is not None and offer.schedule is not None and len(offer.schedule.body) > MAX_SCHEDULE_BYTES:
        raise InvalidField(
            "schedule", "TOO_LARGE_FOR_TEMPORAL", "so many holidays or entries are more than Temporal accepts"
        )
