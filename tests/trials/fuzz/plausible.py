"""Messages that are nearly right: each field by its name where the name is known, else by its type."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from datetime import date, timedelta
from random import Random
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from slad_client.v1 import types_pb2 as pb

from slad.config.settings import DEFAULT_LIMITS
from slad.core.instants import MAX_INSTANT_MS
from slad.service import limits
from tests.trials.fuzz import values
from tests.trials.fuzz.world import CONSUMERS, RECONCILED_TENANT, World

LIMITS: Final = DEFAULT_LIMITS.requests
"""Those of a daemon that was told nothing else."""

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")

TIMES: Final = {"google.protobuf.Timestamp", "google.protobuf.Duration"}

ALWAYS: Final = {
    "tenant_id",
    "ticket_id",
    "targets",
    "response_time_minutes",
    "schedule",
    "timezone",
    "entries",
    "start_time",
    "end_time",
    "is_enabled",
    "holiday_date",
    "trackings",
    "start",
    "reason",
    "phase",
    "mode",
    "consumer",
    "to",
    "by",
}
"""Without these a request does not get far."""

SELDOM: Final = {"effective_at", "continue_within", "met", "generation", "page_token", "holidays", "pauses"}


class Plausible:
    """Fills messages. What it knows by name makes requests get further; what it does not, it fills anyway."""

    def __init__(self, rng: Random, world: World) -> None:
        self._rng = rng
        self._world = world
        self._subject = ("", "")
        self._list_tenant = ""
        self._heavy = False

    def make(self, descriptor: Descriptor, *, heavy: bool = False) -> Message:
        """A message; a heavy one is as large as the limits allow."""
        self._heavy = heavy
        self._subject = self._world.subject(self._rng)
        is_list = {"tenant_id", "trackings"} <= set(descriptor.fields_by_name)
        self._list_tenant = RECONCILED_TENANT if is_list and self._rng.random() < 0.85 else ""
        message = GetMessageClass(descriptor)()
        self.fill(message)
        return message

    def fill(self, message: Message) -> None:
        chosen = {
            oneof.name: self._rng.choice(oneof.fields).name
            for oneof in message.DESCRIPTOR.oneofs
            if oneof.fields
        }
        for field in message.DESCRIPTOR.fields:
            oneof = field.containing_oneof
            if oneof is not None and len(oneof.fields) > 1 and chosen[oneof.name] != field.name:
                continue
            chance = 0.97 if field.name in ALWAYS else 0.2 if field.name in SELDOM else 0.6
            if self._rng.random() < chance or (self._heavy and field.is_repeated):
                self._fill_field(message, field)

    def _fill_field(self, message: Message, field: FieldDescriptor) -> None:
        is_time = field.message_type is not None and field.message_type.full_name in TIMES
        special = (_TIMES_BY_NAME if is_time else _BY_NAME).get(field.name)
        target = getattr(message, field.name)
        if is_map(field):
            for number in range(LIMITS.attributes if self._heavy else self._rng.randrange(4)):
                target[self._key(number)] = self._value()
        elif field.is_repeated:
            if field.name == "pauses":
                self._fill_pauses(target)
                return
            for _ in range(self._count(field)):
                self._add(target, field, special)
        elif field.message_type is None:
            setattr(message, field.name, self.value(field, special))
        elif is_time:
            at = special(self) if special else self._rng.randrange(DAY)
            target.FromMilliseconds(min(at, MAX_INSTANT_MS))
        else:
            target.SetInParent()
            self.fill(target)

    def _add(
        self, target: MutableSequence[Any], field: FieldDescriptor, special: Callable[[Plausible], Any] | None
    ) -> None:
        if field.message_type is None:
            target.append(self.value(field, special))
        else:
            item: Any = target
            self.fill(item.add())

    def value(self, field: FieldDescriptor, special: Callable[[Plausible], Any] | None) -> Any:
        if special is not None:
            return special(self)
        if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            known = list(field.enum_type.values_by_number)
            return self._rng.choice(known[1:] if self._rng.random() < 0.9 else known)
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._rng.choice((b"", b"x")) if field.type == FieldDescriptor.TYPE_BYTES else self._word()
        return self._rng.randrange(2) if field.cpp_type != FieldDescriptor.CPPTYPE_BOOL else self.coin()

    # --- values

    def coin(self) -> bool:
        return self._rng.random() < 0.5

    def _count(self, field: FieldDescriptor) -> int:
        if self._heavy:
            return _LIMITS.get(field.name, 3)
        if field.name == "trackings":
            return self._rng.choice((0, 1, 1, 2, 3, 20))
        return (
            self._rng.choice((0, 1, 1, 2, 3)) if field.name not in ALWAYS else self._rng.choice((1, 1, 2, 5))
        )

    def _word(self) -> str:
        return self._rng.choice(("", "a", "gold", "p1", "p2", "schedule one"))

    def _key(self, number: int) -> str:
        return f"{number}".ljust(limits.MAX_ATTRIBUTE_KEY, "🔑") if self._heavy else f"key {number}"

    def _value(self) -> str:
        return "🧱" * LIMITS.attribute_length if self._heavy else self._word()

    def name(self) -> str:
        if self._heavy:
            return f"{self._rng.randrange(10_000)}".ljust(LIMITS.id_length, "🎄")
        return self._word()

    def tenant(self) -> str:
        return self._list_tenant or (self._subject[0] if self._rng.random() < 0.9 else "")

    def ticket(self) -> str:
        """A list has many tickets, all else one."""
        self._subject, subject = self._world.subject(self._rng), self._subject
        return subject[1]

    def started_at(self) -> int:
        return values.YEAR_2000 * 1_000 + DAY if self._heavy else self.past(10 * DAY)

    def past(self, longest: int) -> int:
        """Mostly a little before now, sometimes up to `longest` ms."""
        span = self._rng.choice((0, 1, MINUTE, HOUR, longest))
        return max(self._world.now - self._rng.randrange(span + 1), values.YEAR_2000 * 1_000)

    def near(self) -> int:
        return self._world.now + self._rng.randrange(-5 * DAY, 5 * DAY)

    def ahead(self) -> int:
        return self._world.now + self.step()

    def step(self) -> int:
        return self._rng.choice(
            (0, 1, MINUTE, 10 * MINUTE, HOUR, 8 * HOUR if self._rng.random() < 0.1 else 1)
        )

    def minutes(self) -> int:
        return self._rng.choice((1, 5, 60, 240, 1_440, 100_000))

    def percent(self) -> int:
        return self._rng.choice((1, 25, 50, 75, 90, 100, 120, 200, 1_000))

    def escalation(self) -> int:
        return self._rng.choice((0, 70, 90, 110))

    def zone(self) -> str:
        return self._rng.choice(ZONES)

    def opening(self) -> str:
        return self._rng.choice(("08:00", "09:00", "09:30:15", "22:00", "00:00"))

    def closing(self) -> str:
        return self._rng.choice(("17:00", "18:30", "06:00", "24:00", "23:59:59"))

    def holiday(self) -> str:
        day = date(2020, 1, 1) + timedelta(days=self._rng.randrange(4_000))
        return day.isoformat() + self._rng.choice(("", "", "T00:00:00Z"))

    def consumer(self) -> str:
        return self._rng.choice(CONSUMERS)

    def sequence(self) -> int:
        return self._rng.choice((0, 1, max(self._world.head - 5, 0), self._world.head, self._world.head + 1))

    def day_of_week(self) -> int:
        return self._rng.randrange(7)

    def page_size(self) -> int:
        return self._rng.choice((0, 1, 7, 50, LIMITS.page_size if self._rng.random() < 0.05 else 10))

    def page_token(self) -> str:
        return self._rng.choice(self._world.tokens)

    def request_id(self) -> str:
        return self._world.request_id(self._rng)

    def _fill_pauses(self, pauses: Any) -> None:
        count = LIMITS.pauses if self._heavy else self._rng.choice((0, 1, 2, 5))
        at = self._world.now - count * self._rng.choice((2, 2 * MINUTE))
        for number in range(count):
            pause = pauses.add(reason=self._rng.choice(list(pb.SlaPauseReason.values())))
            pause.paused_at.FromMilliseconds(at)
            at += self._rng.randrange(MINUTE)
            if number + 1 < count or self.coin():
                pause.resumed_at.FromMilliseconds(at)


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


_LIMITS: Final = {
    "targets": LIMITS.targets,
    "notification_thresholds": LIMITS.thresholds,
    "entries": LIMITS.entries,
    "holidays": LIMITS.holidays // 4,  # with the longest names more do not fit into 4 MiB
    "trackings": 1,
}

_TIMES_BY_NAME: Final[dict[str, Callable[[Plausible], int]]] = {
    "started_at": Plausible.started_at,
    "effective_at": lambda p: p.past(DAY),
    "response_completed_at": lambda p: p.past(HOUR),
    "due_before": Plausible.near,
    "as_of": Plausible.ahead,
    "to": Plausible.ahead,
    "by": Plausible.step,
    "continue_within": Plausible.step,
}

_BY_NAME: Final[dict[str, Callable[[Plausible], Any]]] = {
    "tenant_id": Plausible.tenant,
    "ticket_id": Plausible.ticket,
    "request_id": Plausible.request_id,
    "consumer": Plausible.consumer,
    "service": lambda _: "slad.v1.SlaBackend",
    "response_time_minutes": Plausible.minutes,
    "resolution_time_minutes": Plausible.minutes,
    "notification_thresholds": Plausible.percent,
    "escalation_1_percent": Plausible.escalation,
    "escalation_2_percent": Plausible.escalation,
    "escalation_3_percent": Plausible.escalation,
    "is_24x7": lambda p: not p.coin() and not p.coin(),
    "is_enabled": lambda _: True,
    "timezone": Plausible.zone,
    "day_of_week": Plausible.day_of_week,
    "start_time": Plausible.opening,
    "end_time": Plausible.closing,
    "holiday_date": Plausible.holiday,
    "holiday_name": Plausible.name,
    "after_sequence": Plausible.sequence,
    "sequence": Plausible.sequence,
    "page_size": Plausible.page_size,
    "page_token": Plausible.page_token,
    "generation": lambda p: 1 + p.coin(),
    "priority_id": lambda _: "p1",
}
