"""Options that state the terms of a ticket: its targets, its thresholds, and when time counts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli.failures import WrongInput
from slad.cli.files import read_message
from slad.cli.hours import parse_holiday, parse_hours
from slad.cli.values import OpenSpan, Percents

Command = TypeVar("Command", bound=Callable[..., Any])

_TermsRequest = rpc.StartSlaTrackingRequest | rpc.RetargetSlaRequest | rpc.PreviewSlaRequest
R = TypeVar("R", rpc.StartSlaTrackingRequest, rpc.RetargetSlaRequest, rpc.PreviewSlaRequest)

MAX_ESCALATIONS: Final = 3


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms as they were typed; what a file says, the options override."""

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

    def fill(self, request: R) -> R:
        """`request` with the terms in it. Raises WrongInput."""
        if self.file is not None:
            read_message(self.file, request)
        if self.policy and not isinstance(request, rpc.PreviewSlaRequest):
            request.policy_id = self.policy
        if self.priority:
            request.priority_id = self.priority
        if self.notify:
            request.notification_thresholds[:] = self.notify
        self._fill_target(request)
        self._fill_schedule(request)
        return request

    def _fill_target(self, request: _TermsRequest) -> None:
        if self.response is not None or self.resolution is not None:
            del request.targets[:]
            request.targets.add(
                priority_id=self.priority,
                response_time_minutes=self.response,
                resolution_time_minutes=self.resolution,
            )
        if not request.targets:
            raise WrongInput("no target: say --response 1h, --resolution 8h, or --file")
        if len(self.escalate) > MAX_ESCALATIONS:
            raise WrongInput(f"--escalate takes up to {MAX_ESCALATIONS} percents, for levels 1 to 3")
        for target in request.targets:
            for level, percent in enumerate(self.escalate, start=1):
                setattr(target, f"escalation_{level}_percent", percent)
            if self.always:
                target.is_24x7 = True

    def _fill_schedule(self, request: _TermsRequest) -> None:
        if self.always:
            if self.hours:
                raise WrongInput("--24x7 and --hours contradict each other; give one")
            request.ClearField("schedule")
            return
        try:
            entries = [entry for text in self.hours for entry in parse_hours(text)]
            holidays = [parse_holiday(text) for text in self.holidays]
        except ValueError as error:
            raise WrongInput(str(error)) from None
        if entries:
            request.schedule.CopyFrom(pb.BusinessHoursSchedule(entries=entries))
        if self.tz:
            request.schedule.timezone = self.tz
        if holidays:
            request.schedule.holidays.extend(holidays)
        self._check_schedule(request)

    def _check_schedule(self, request: _TermsRequest) -> None:
        if all(target.is_24x7 for target in request.targets) or request.schedule.is_24x7:
            return
        if not request.schedule.entries:
            raise WrongInput("when does time count? say --hours 'Mon-Fri 09:00-17:00', --24x7, or --file")
        if not request.schedule.timezone:
            raise WrongInput("business hours are local to a time zone: say which, --tz Europe/Berlin")


def terms_options(command: Command) -> Command:
    """Adds the options; the command gets them as one `terms: Terms`."""

    @click.option(
        "--file",
        "-f",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar="FILE",
        help="JSON or YAML with the fields of the request; the other options go before it.",
    )
    @click.option("--response", type=OpenSpan(), metavar="SPAN", help="Open time until the response: 1h30m.")
    @click.option(
        "--resolution",
        "--target",
        "resolution",
        type=OpenSpan(),
        metavar="SPAN",
        help="Open time until the resolution: 8h.",
    )
    @click.option("--hours", multiple=True, metavar="HOURS", help="'Mon-Fri 09:00-17:00'; may repeat.")
    @click.option("--tz", default="", metavar="ZONE", help="The zone of --hours, such as Europe/Berlin.")
    @click.option(
        "--holiday",
        "holidays",
        multiple=True,
        metavar="DATE",
        help="'2026-04-03 Good Friday', 'yearly 12-25'; may repeat.",
    )
    @click.option("--24x7", "always", is_flag=True, help="Every hour counts.")
    @click.option(
        "--notify", type=Percents(), default=(), metavar="PERCENTS", help="50,75,90 when none are given."
    )
    @click.option(
        "--escalate", type=Percents(), default=(), metavar="PERCENTS", help="Of levels 1 to 3: 70,90,110."
    )
    @click.option("--policy", default="", metavar="ID", help="What the events name as the policy.")
    @click.option("--priority", default="", metavar="ID", help="Which of the targets in the file counts.")
    @functools.wraps(command)
    def with_terms(*args: Any, **kwargs: Any) -> Any:
        terms = Terms(**{field.name: kwargs.pop(field.name) for field in fields(Terms)})
        return command(*args, terms=terms, **kwargs)

    return with_terms  # type: ignore[return-value]
