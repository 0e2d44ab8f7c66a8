"""The options for the terms of a ticket: its targets, its thresholds, and when time counts."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli.clock_text import MAX_ESCALATIONS, parse_clock
from slad.cli.exits import CommandError
from slad.cli.option_types import OPEN_SPAN, PERCENTS
from slad.cli.request_file import read_message
from slad.cli.schedule_text import add_holiday, parse_hours
from slad.core.errors import InvalidField
from slad.core.schedule import check_timezone

Command = TypeVar("Command", bound=Callable[..., Any])

TermsRequest = (
    rpc.StartSlaTrackingRequest
    | rpc.RetargetSlaRequest
    | rpc.RetargetSlaTrackingsRequest
    | rpc.PreviewSlaRequest
)
R = TypeVar(
    "R",
    rpc.StartSlaTrackingRequest,
    rpc.RetargetSlaRequest,
    rpc.RetargetSlaTrackingsRequest,
    rpc.PreviewSlaRequest,
)


@dataclass(frozen=True, slots=True)
class TypedTerms:
    """The terms as they were typed. Options override the file."""

    file: Path | None
    response: int | None
    """Minutes of open time."""
    resolution: int | None
    hours: tuple[str, ...]
    tz: str
    holidays: tuple[str, ...]
    always: bool
    notify: tuple[int, ...]
    escalate: tuple[int, ...]
    policy: str
    priority: str
    clocks: tuple[str, ...]

    def fill(self, request: R) -> R:
        """`request` with the terms in it. Raises CommandError."""
        self._fill_given(request)
        if not isinstance(request, rpc.RetargetSlaTrackingsRequest):
            if self.priority:
                request.priority_id = self.priority
            if not request.targets:
                raise CommandError("no target: give --response 1h, --resolution 8h, or --file")
        elif self.escalate and not request.targets:
            raise CommandError("--escalate needs a target: give --response, --resolution, or --file too")
        self._fill_schedule(request)
        self._fill_clocks(request)
        return request

    def zone_of(self, request: TermsRequest) -> str:
        """The zone of instants that are typed without one; empty: the user's."""
        return self.tz or request.schedule.timezone

    def option_of(self, request: TermsRequest, path: str) -> str:
        """What the user knows a field of the filled `request` by: the option, else the path in the file."""
        if match := re.match(r"clocks\[(\d+)\]\.?(.*)", path):
            name = request.clocks[int(match[1])].name
            if name in {clock.name for clock in self._typed_clocks()}:
                return ": ".join(filter(None, (f"--clock {name}", match[2])))
        for pattern, option, attribute in _FIELDS:
            if getattr(self, attribute) and re.match(pattern, path):
                return option
        return path

    def _fill_given(self, request: TermsRequest) -> None:
        if self.file is not None:
            read_message(self.file, request)
        if self.policy and not isinstance(request, rpc.PreviewSlaRequest):
            request.policy_id = self.policy
        if self.notify:
            request.notification_thresholds[:] = self.notify
        if self.response is not None or self.resolution is not None:
            del request.targets[:]
            request.targets.add(
                priority_id=self.priority,
                response_time_minutes=self.response,
                resolution_time_minutes=self.resolution,
            )
        if len(self.escalate) > MAX_ESCALATIONS:
            raise CommandError(f"--escalate takes up to {MAX_ESCALATIONS} percents, for levels 1 to 3")
        for target in request.targets:
            for level, percent in enumerate(self.escalate, start=1):
                setattr(target, f"escalation_{level}_percent", percent)
            if self.always:
                target.is_24x7 = True

    def _fill_schedule(self, request: TermsRequest) -> None:
        if self.always:
            for option, given in (("--hours", self.hours), ("--holiday", self.holidays)):
                if given:
                    raise CommandError(f"--24x7 and {option} contradict each other; give one")
            self._check_zone()
            request.ClearField("schedule")
            if not request.targets:
                request.schedule.is_24x7 = True
            return
        with _option("--hours"):
            hours = [parse_hours(text) for text in self.hours]
        if entries := [entry for found in hours for entry in found.entries]:
            request.schedule.CopyFrom(pb.BusinessHoursSchedule(entries=entries))
        if self.tz:
            request.schedule.timezone = self.tz
        with _option("--holiday"):
            for text in self.holidays:
                add_holiday(request.schedule, text)
        # After the closures, as the last override of a date counts.
        overrides = [found for of in hours for found in of.date_overrides]
        if overrides:
            request.schedule.date_overrides.extend(overrides)
        if request.HasField("schedule") or not isinstance(request, rpc.RetargetSlaTrackingsRequest):
            self._check_schedule(request)

    def _check_zone(self) -> None:
        """Of terms without a schedule, with which nobody else would look at it."""
        try:
            if self.tz:
                check_timezone(self.tz)
        except InvalidField as error:
            raise CommandError(f"--tz: {error.message}") from None

    def _check_schedule(self, request: TermsRequest) -> None:
        always = bool(request.targets) and all(target.is_24x7 for target in request.targets)
        if always or request.schedule.is_24x7:
            if self.hours or self.holidays:
                raise CommandError(
                    "--file says that time counts around the clock; leave out --hours and --holiday"
                )
            return
        if not request.schedule.entries:
            raise CommandError("no business hours: give --hours 'Mon-Fri 09:00-17:00', --24x7, or --file")
        if not request.schedule.timezone:
            raise CommandError("no time zone for the business hours: give --tz Europe/Berlin")

    def _fill_clocks(self, request: TermsRequest) -> None:
        typed = self._typed_clocks()
        names = {clock.name for clock in typed}
        kept = [clock for clock in request.clocks if clock.name not in names]
        del request.clocks[:]
        request.clocks.extend([*kept, *typed])
        for clock in request.clocks:
            if clock.HasField("schedule") and not clock.schedule.timezone:
                clock.schedule.timezone = self.zone_of(request)

    def _typed_clocks(self) -> list[pb.SlaClockTerms]:
        try:
            return [parse_clock(text) for text in self.clocks]
        except ValueError as error:
            raise CommandError(f"--clock {error}") from None


_FIELDS: Final = (
    (r"targets.*\.response", "--response", "response"),
    (r"targets.*\.resolution", "--resolution", "resolution"),
    (r"targets.*\.escalation", "--escalate", "escalate"),
    (r"schedule\.timezone", "--tz", "tz"),
    (r"schedule\.holidays", "--holiday", "holidays"),
    (r"schedule\.(entries|date_overrides)", "--hours", "hours"),
    ("notification_thresholds", "--notify", "notify"),
    ("policy_id", "--policy", "policy"),
    ("priority_id", "--priority", "priority"),
    ("clocks", "--clock", "clocks"),
)
"""(fields of a request, as a pattern; the option that fills them; its attribute)"""


def terms_options(command: Command) -> Command:
    """Adds the options; the command gets them as one `terms: TypedTerms`."""

    @click.option(
        "--file",
        "-f",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar="FILE",
        help="JSON or YAML with the fields of the request. The other options override it.",
    )
    @click.option(
        "--response", type=OPEN_SPAN, metavar="SPAN", help="The response target in open time: 1h30m."
    )
    @click.option(
        "--resolution",
        "--target",
        "resolution",
        type=OPEN_SPAN,
        metavar="SPAN",
        help="The resolution target in open time: 8h.",
    )
    @click.option(
        "--hours",
        multiple=True,
        metavar="HOURS",
        help="Business hours: 'Mon-Fri 09:00-17:00'; of dates: '2026-12-24 09:00-13:00'; may repeat.",
    )
    @click.option(
        "--tz", default="", metavar="ZONE", help="The time zone of --hours, and of instants without one."
    )
    @click.option(
        "--holiday",
        "holidays",
        multiple=True,
        metavar="DATE",
        help="Closed dates: '2026-04-03 = Good Friday', 'yearly 12-25', '2026-12-24..2026-12-31'; "
        "may repeat.",
    )
    @click.option("--24x7", "always", is_flag=True, help="Time counts around the clock.")
    @click.option(
        "--notify",
        type=PERCENTS,
        default=(),
        metavar="PERCENTS",
        help="When to warn, in percent of the target; by default 50,75,90.",
    )
    @click.option(
        "--escalate",
        type=PERCENTS,
        default=(),
        metavar="PERCENTS",
        help="When levels 1 to 3 are escalated to: 70,90,110.",
    )
    @click.option("--policy", default="", metavar="ID", help="The id of the policy, which the events carry.")
    @click.option(
        "--priority",
        default="",
        metavar="ID",
        help="The id of the priority; it selects the target in --file.",
    )
    @click.option(
        "--clock",
        "clocks",
        multiple=True,
        metavar="CLOCK",
        help="A further clock, NAME:KIND:SPAN: 'next-reply:NEXT_REPLY:60m'. The kinds are FROM_START, "
        "NEXT_REPLY, PERIODIC_UPDATE and OWNERSHIP. After more colons it may have owner=ID, 24x7, "
        "hours=HOURS, tz=ZONE, notify=PERCENTS, escalate=PERCENTS, paused-by=REASONS and paused-by=never. "
        "May repeat; it replaces a clock of the same name in --file.",
    )
    @functools.wraps(command)
    def with_terms(*args: Any, **kwargs: Any) -> Any:
        terms = TypedTerms(**{field.name: kwargs.pop(field.name) for field in fields(TypedTerms)})
        return command(*args, terms=terms, **kwargs)

    return with_terms  # type: ignore[return-value]


@contextmanager
def _option(name: str) -> Iterator[None]:
    """Names the option whose text is wrong. Raises CommandError."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from None
