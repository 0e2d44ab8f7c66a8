"""The terms that a request states (C1, C4): targets, thresholds, schedule.

What is wrong raises InvalidField with the path in the request.
"""

from __future__ import annotations

from typing import Final

import msgspec
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.core.calendar import compile_calendar
from slad.core.errors import InvalidField
from slad.core.events import PHASES
from slad.core.instants import MINUTE_MS
from slad.core.schedule import build_schedule
from slad.core.terms import check_minutes
from slad.engine.catalog import LruCache
from slad.engine.commands import ScheduleOffer, TermsOffer, place_for
from slad.engine.terms_change import TermsChange
from slad.service.clock_terms import read_clocks
from slad.service.fields import (
    Fields,
    at_most,
    duration_ms,
    escalation_percents,
    instant,
    notification_percents,
)
from slad.service.limits import EARLIEST_START_MS
from slad.storage.codec import encode_schedule

REMEMBERED: Final = 512
"""Schedules, and terms, that are kept for the next request that states the same."""

MAX_REMEMBERED_BYTES: Final = 8 * 1024
"""A larger schedule, and the terms of a larger request, are not kept: a hundred holidays are some 6 KB."""

TermsRequest = rpc.StartSlaTrackingRequest | rpc.RetargetSlaRequest | rpc.PreviewSlaRequest
"""The messages that state terms."""


class TermsReader:
    """Reads the terms of requests. A desk has few of them, so those lately read are kept, by their bytes."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._terms: LruCache[tuple[object, ...], TermsOffer] = LruCache(REMEMBERED)
        self._schedules: LruCache[bytes, ScheduleOffer] = LruCache(REMEMBERED)

    def read(self, request: TermsRequest) -> TermsOffer:
        """The terms that a request states, its target chosen by priority."""
        targets = [target.SerializeToString() for target in request.targets]
        schedule = request.schedule.SerializeToString() if request.HasField("schedule") else b""
        clocks = [clock.SerializeToString(deterministic=True) for clock in request.clocks]
        key = (request.priority_id, *request.notification_thresholds, *targets, schedule, *clocks)
        offer = self._terms.get(key)
        if offer is None:
            offer = self._read(request)
            if sum(map(len, targets + clocks), len(schedule)) <= MAX_REMEMBERED_BYTES:
                self._terms.put(key, offer)
        return offer

    def _read(self, request: TermsRequest) -> TermsOffer:
        index, target = self._choose(request)
        path = f"targets[{index}]"
        schedule: ScheduleOffer | None = None
        schedule_id: str | None = None
        if not target.is_24x7:
            if not request.HasField("schedule"):
                raise InvalidField("schedule", "REQUIRED", "a target that is not 24x7 needs a schedule")
            schedule = self._schedule("schedule", request.schedule)
            schedule_id = self._fields.optional_id("schedule.schedule_id", request.schedule.schedule_id)
        thresholds = request.notification_thresholds
        at_most("notification_thresholds", thresholds, self._fields.limits.thresholds)
        percents = notification_percents("notification_thresholds", thresholds)
        return msgspec.structs.replace(
            self._offer(path, target, schedule_id=schedule_id),
            priority_id=request.priority_id or target.priority_id,
            notification_percents=percents,
            schedule=schedule,
            clocks=read_clocks(request.clocks, self._fields, self._schedule),
        )

    def _offer(self, path: str, target: pb.SlaPolicyTarget, *, schedule_id: str | None) -> TermsOffer:
        """What a target alone says."""
        response_ms, response_due_at = _target(path, target, "response")
        resolution_ms, resolution_due_at = _target(path, target, "resolution")
        if not (response_ms or resolution_ms or response_due_at or resolution_due_at):
            text = "neither a response nor a resolution has a time in minutes or a due date"
            raise InvalidField(path, "NO_TARGET", text)
        return TermsOffer(
            priority_id=target.priority_id,
            response_ms=response_ms,
            resolution_ms=resolution_ms,
            notification_percents=(),
            escalation_percents=escalation_percents(path, target),
            schedule=None,
            target_path=path,
            schedule_id=schedule_id,
            response_due_at=response_due_at,
            resolution_due_at=resolution_due_at,
        )

    def change(self, request: rpc.RetargetSlaTrackingsRequest) -> TermsChange:
        """The terms that a bulk retarget changes (M9)."""
        fields = self._fields
        thresholds = request.notification_thresholds
        at_most("notification_thresholds", thresholds, fields.limits.thresholds)
        at_most("targets", request.targets, fields.limits.targets)
        has_schedule = request.HasField("schedule")
        change = TermsChange(
            policy_id=fields.optional_id("policy_id", request.policy_id),
            targets=tuple(self._changed_target(f"targets[{i}]", t) for i, t in enumerate(request.targets)),
            replaces_schedule=has_schedule,
            schedule=self._schedule("schedule", request.schedule) if has_schedule else None,
            schedule_id=fields.optional_id("schedule.schedule_id", request.schedule.schedule_id),
            of_schedule=fields.optional_id("which.schedule_id", request.which.schedule_id),
            notification_percents=notification_percents("notification_thresholds", thresholds),
            clocks=TermsOffer(
                "", 0, 0, (), (0, 0, 0), None, "", read_clocks(request.clocks, fields, self._schedule)
            )
            if request.clocks
            else None,
        )
        if change == TermsChange(of_schedule=change.of_schedule):
            raise InvalidField(
                "", "NOTHING_TO_CHANGE", "give a schedule, targets, thresholds, clocks or a policy_id"
            )
        return change

    def _changed_target(self, path: str, target: pb.SlaPolicyTarget) -> TermsOffer:
        self._check_target(path, target)
        return self._offer(path, target, schedule_id=None if target.is_24x7 else "")

    def _choose(self, request: TermsRequest) -> tuple[int, pb.SlaPolicyTarget]:
        targets = request.targets
        self._fields.optional_id("priority_id", request.priority_id)
        if not targets:
            raise InvalidField("targets", "NO_TARGET", "at least one target is needed")
        at_most("targets", targets, self._fields.limits.targets)
        for index, target in enumerate(targets):
            self._check_target(f"targets[{index}]", target)
        if not request.priority_id:
            return 0, targets[0]
        place = place_for(request.priority_id, [target.priority_id for target in targets])
        if place is None:
            text = f"no target has priority_id {request.priority_id!r}"
            raise InvalidField("priority_id", "NO_TARGET", text)
        return place, targets[place]

    def _check_target(self, path: str, target: pb.SlaPolicyTarget) -> None:
        self._fields.optional_id(f"{path}.target_id", target.target_id)
        self._fields.optional_id(f"{path}.sla_policy_id", target.sla_policy_id)
        self._fields.optional_id(f"{path}.priority_id", target.priority_id)
        for phase in PHASES:
            _target(path, target, phase)
        escalation_percents(path, target)

    def _schedule(self, path: str, message: pb.BusinessHoursSchedule) -> ScheduleOffer | None:
        """The schedule of a message; None when it is 24x7."""
        if message.is_24x7:
            return None
        key = message.SerializeToString(deterministic=True)
        offer = self._schedules.get(key)
        if offer is None:
            try:
                offer = self._read_schedule(message)
            except InvalidField as error:
                raise error.under(path) from None
            if len(key) <= MAX_REMEMBERED_BYTES:
                self._schedules.put(key, offer)
        return offer

    def _read_schedule(self, message: pb.BusinessHoursSchedule) -> ScheduleOffer:
        limits = self._fields.limits
        at_most("entries", message.entries, limits.entries)
        at_most("holidays", message.holidays, limits.holidays)
        for index, holiday in enumerate(message.holidays):
            self._check_name(f"holidays[{index}].holiday_name", holiday.holiday_name)
        for index, override in enumerate(message.date_overrides):
            path = f"date_overrides[{index}]"
            at_most(f"{path}.entries", override.entries, limits.entries)
            self._check_name(f"{path}.name", override.name)
        schedule = build_schedule(
            timezone=message.timezone,
            is_24x7=False,
            entries=[(e.day_of_week, e.start_time, e.end_time, e.is_enabled) for e in message.entries],
            holidays=[(h.holiday_date, h.is_recurring, h.holiday_name) for h in message.holidays],
            date_overrides=[
                (
                    override.from_date,
                    override.to_date,
                    override.is_recurring,
                    override.name,
                    [(e.start_time, e.end_time) for e in override.entries],
                )
                for override in message.date_overrides
            ],
        )
        digest, body = encode_schedule(schedule)
        # A large one is read beside the event loop, and compiled there as well.
        calendar = compile_calendar(schedule) if len(body) > MAX_REMEMBERED_BYTES else None
        return ScheduleOffer(schedule, digest, body, calendar)

    def _check_name(self, path: str, name: str) -> None:
        if len(name) > self._fields.limits.id_length:
            text = f"at most {self._fields.limits.id_length} characters"
            raise InvalidField(path, "TOO_LONG", text)


def _target(path: str, target: pb.SlaPolicyTarget, phase: str) -> tuple[int, int]:
    """(open ms, fixed due date in UTC epoch ms) of one clock; 0 for what is not given.

    With a due date the open time is there only if an export has told it.
    """
    minutes_field, due_field, open_field = (
        f"{phase}_{name}" for name in ("time_minutes", "due_at", "open_time")
    )
    due_at, open_ms = instant(target, due_field, path), duration_ms(target, open_field, path)
    if target.HasField(minutes_field):  # type: ignore[arg-type]
        for field, value in ((due_field, due_at), (open_field, open_ms)):
            if value is not None:
                text = f"give it or {minutes_field}, not both"
                raise InvalidField(f"{path}.{field}", "ALSO_IN_MINUTES", text)
        minutes = getattr(target, minutes_field)
        check_minutes(f"{path}.{minutes_field}", minutes)
        return minutes * MINUTE_MS, 0
    if due_at is None:
        if open_ms is not None:
            raise InvalidField(f"{path}.{due_field}", "REQUIRED", f"{open_field} is that of a due date")
        return 0, 0
    if due_at < EARLIEST_START_MS:
        raise InvalidField(f"{path}.{due_field}", "TOO_FAR_IN_THE_PAST", "before the year 2000")
    return open_ms or 0, due_at
