"""Named clocks as people write them: `NAME:KIND:SPAN`, then what is not as usual (K1).

`next-reply:NEXT_REPLY:60m`, `level-2:OWNERSHIP:4h:owner=team-b:notify=50,80:24x7`,
`vendor:FROM_START:8h:paused-by=vendor,freeze:hours=Mon-Fri 08:00-18:00:tz=Europe/London`. Of `response` and
`resolution` only `paused-by` can be said: `resolution:paused-by=never`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from slad_client.v1 import types_pb2 as pb

from slad.cli.option_types import parse_enum_word, parse_open_span, parse_percents
from slad.cli.reason_text import reason_code
from slad.cli.schedule_text import parse_hours

UNNAMED: Final = ("response", "resolution")
MAX_ESCALATIONS: Final = 3

_OPTION: Final = re.compile(r":(?=[a-z][a-z0-9-]*=|24x7(?::|$))")
"""Where an option begins; a colon of a time or of an id is none of these."""


def parse_clock(text: str) -> pb.SlaClockTerms:
    """The clock of a text. Hours without a zone are left without one. Raises ValueError."""
    head, *options = _OPTION.split(text.strip())
    name, *promise = (part.strip() for part in head.split(":"))
    clock = pb.SlaClockTerms(name=name)
    try:
        if name in UNNAMED:
            _check_unnamed(promise, options)
        else:
            _fill_promise(clock, promise)
        for option in options:
            key, _, value = option.partition("=")
            if key not in _OPTIONS:
                raise ValueError(f"there is no {key!r}; there are {', '.join(_OPTIONS)}")  # noqa: TRY301
            _OPTIONS[key](clock, value.strip())
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    return clock


def _check_unnamed(promise: list[str], options: list[str]) -> None:
    if promise or [option.partition("=")[0] for option in options] != ["paused-by"]:
        raise ValueError(
            "of response and resolution only paused-by is taken, as in resolution:paused-by=never"
        )


def _fill_promise(clock: pb.SlaClockTerms, parts: list[str]) -> None:
    if len(parts) != 2:
        missing = {0: "its kind is missing", 1: "its minutes are missing"}.get(len(parts), "too many parts")
        raise ValueError(f"{missing}; a clock is NAME:KIND:SPAN, such as next-reply:NEXT_REPLY:60m")
    clock.kind = parse_kind(parts[0])
    clock.target_minutes = parse_open_span(parts[1])


def parse_kind(word: str) -> pb.SlaClockKind.ValueType:
    """`NEXT_REPLY`, also `next-reply`. Raises ValueError."""
    return pb.SlaClockKind.ValueType(parse_enum_word(word, pb.SlaClockKind, "SLA_CLOCK_KIND_"))


def _fill_hours(clock: pb.SlaClockTerms, text: str) -> None:
    hours = parse_hours(text)
    clock.schedule.entries.extend(hours.entries)
    clock.schedule.date_overrides.extend(hours.date_overrides)


def _fill_escalations(clock: pb.SlaClockTerms, text: str) -> None:
    percents = parse_percents(text)
    if len(percents) > MAX_ESCALATIONS:
        raise ValueError(f"escalate takes up to {MAX_ESCALATIONS} percents, for levels 1 to 3")
    for level, percent in enumerate(percents, start=1):
        setattr(clock, f"escalation_{level}_percent", percent)


def _fill_paused_by(clock: pb.SlaClockTerms, text: str) -> None:
    if text == "never":
        clock.paused_by.never = True
        return
    clock.paused_by.reasons.extend(reason_code(code.strip()) for code in text.split(","))


_OPTIONS: Final[dict[str, Callable[[pb.SlaClockTerms, str], Any]]] = {
    "24x7": lambda clock, _: setattr(clock, "is_24x7", True),
    "hours": _fill_hours,
    "tz": lambda clock, text: setattr(clock.schedule, "timezone", text),
    "notify": lambda clock, text: clock.notification_thresholds.extend(parse_percents(text)),
    "escalate": _fill_escalations,
    "paused-by": _fill_paused_by,
    "owner": lambda clock, text: setattr(clock, "owner", text),
}
