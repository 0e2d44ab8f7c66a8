"""Which engine a ticket gets when it starts, and what Temporal can carry."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from slad.config.settings import RoutingSettings
from slad.core.errors import InvalidField, Refused
from slad.core.schedule import Schedule
from slad.core.tracking import Engine
from slad.engine.commands import TermsOffer
from slad.temporal.workflow.names import workflow_id

log = logging.getLogger(__name__)

MAX_WORKFLOW_ID_BYTES: Final = 1_000
"""What Temporal allows an id to have (its `limit.maxIDLength`)."""

MAX_SCHEDULE_BYTES: Final = 512 * 1024
"""Stored bytes of a schedule. As JSON it is at most three times as large, and Temporal takes 2 MiB."""


@dataclass(slots=True)
class Standing:
    """How Temporal was when it was last asked (see `slad.temporal.passthrough.link`)."""

    trouble: Refused | None = None
    """Why it cannot be used; None: it can, or is not known yet."""
    tells_workers: bool = True
    """Whether it says who its workers are: not every server does. Then they are taken for slad's."""
    slad_workers: frozenset[str] = frozenset()
    other_workers: frozenset[str] = frozenset()
    """Who takes workflows from the task queue, by the names that they give themselves. Others than slad's,
    such as AlgaPSA's, report nothing to slad, and may not take over what it has announced."""

    @property
    def is_reachable(self) -> bool:
        """Whether Temporal can be used; one that is only busy can."""
        return self.trouble is None or self.trouble.reason == "TEMPORAL_BUSY"

    @property
    def is_served(self) -> bool:
        """Whether anybody takes workflows."""
        return bool(self.slad_workers or self.other_workers) or not self.tells_workers

    @property
    def is_slads_alone(self) -> bool:
        """Whether only slad's workers take them."""
        return (bool(self.slad_workers) and not self.other_workers) or not self.tells_workers

    @property
    def reports_nothing(self) -> bool:
        """Whether only others take them, so that no threshold will be reported."""
        return bool(self.other_workers) and not self.slad_workers


class Routing:
    """The choice of an engine, and what Temporal can carry."""

    def __init__(self, settings: RoutingSettings, standing: Standing) -> None:
        self.settings = settings
        self.standing = standing
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
        if settings.fallback == "wait" or self.standing.is_reachable:
            self._is_falling_back = False
            return Engine.TEMPORAL
        if not self._is_falling_back:
            # Once an outage: a desk may start a thousand tickets in it.
            log.warning("Temporal cannot be reached: the local engine takes new tickets")
        self._is_falling_back = True
        self.fallbacks += 1
        return Engine.LOCAL

    def not_carried(self, *, clocks: bool, schedule: Schedule | None) -> InvalidField | None:
        """Why Temporal cannot have a ticket: AlgaPSA's worker knows neither named clocks nor B8."""
        if self.settings.worker != "alga" and not self.standing.reports_nothing:
            return None
        if clocks:
            text = "AlgaPSA's worker knows only response and resolution; slad's own worker knows every clock"
            return InvalidField("clocks", "CLOCKS_NOT_CARRIED", text)
        if schedule and schedule.date_overrides:
            text = "AlgaPSA's worker counts without date overrides; slad's own worker knows them"
            return InvalidField("schedule.date_overrides", "OVERRIDES_NOT_CARRIED", text)
        return None


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
            "schedule", "TOO_LARGE_FOR_TEMPORAL", "Temporal does not accept this many holidays or entries"
        )
