"""Calls of every RPC, made from the descriptors: right, nearly right, hostile, huge, and no message at all."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import Any, Final

import slad_client.v1
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from slad_client.v1 import test_clock_pb2 as clock_rpc

from slad.core.instants import DAY_MS, MAX_INSTANT_MS, SECOND_MS
from tests.trials.fuzz import values, wire
from tests.trials.fuzz.plausible import Plausible, is_map
from tests.trials.fuzz.world import World

MANY: Final = 10_000
OVER_THE_LIMIT: Final = 5 * values.MIB

LONGEST_STEP_MS: Final = 30 * DAY_MS
"""How far one call may move virtual time."""


def services() -> list[ServiceDescriptor]:
    """slad's own services: all that the contract declares."""
    modules = [
        import_module(f"{slad_client.v1.__name__}.{module.name}")
        for module in pkgutil.iter_modules(slad_client.v1.__path__)
        if module.name.endswith("_pb2")
    ]
    return [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]


def borrowed_services() -> list[ServiceDescriptor]:
    """What comes with gRPC, and answers in its own way."""
    return [
        service
        for module in (health_pb2, reflection_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    ]


@dataclass(frozen=True)
class Call:
    """One call, its messages already bytes."""

    method: MethodDescriptor
    messages: tuple[bytes, ...]
    manner: str
    """How it was made, for the report."""
    cancelled: bool = False
    """The caller goes away after its messages, without waiting for the answer."""

    @property
    def path(self) -> str:
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def is_borrowed(self) -> bool:
        return not self.method.containing_service.full_name.startswith("slad.")


class Generator:
    """Draws calls, always the same ones from the same seed and the same answers."""

    def __init__(self, rng: Random, world: World) -> None:
        self._rng = rng
        self._world = world
        self._plausible = Plausible(rng, world)
        self._methods = [method for service in services() for method in service.methods]
        self._borrowed = [method for service in borrowed_services() for method in service.methods]

    def call(self) -> Call:
        """Any call of any RPC."""
        if self._rng.random() < 0.02:
            return self.call_of(self._rng.choice(self._borrowed))
        return self.call_of(self._rng.choice(self._methods))

    def call_of(self, method: MethodDescriptor) -> Call:
        """Any call of one RPC, but none that would make time run out."""
        while True:
            call = self._draw(method)
            if not self._runs_away(call):
                return call

    def _draw(self, method: MethodDescriptor) -> Call:
        manner, make = self._rng.choices(_MANNERS, _WEIGHTS)[0]
        if make is Generator._spoilt and not _is_ours(method):
            # gRPC's own services answer UNKNOWN to what they cannot parse.
            manner, make = _MANNERS[0]
        count = self._rng.choice((0, 1, 1, 1, 2, 3, 6)) if method.client_streaming else 1
        # Of a stream one message is odd and the others are right: it may come late.
        odd = self._rng.randrange(count) if count else 0
        messages = tuple(
            make(self, method) if place == odd else self._valid(method).SerializeToString()
            for place in range(count)
        )
        return Call(method, messages, manner, cancelled=self._rng.random() < 0.02)

    def _runs_away(self, call: Call) -> bool:
        """Whether it would move virtual time so far that nothing could be started any more."""
        if call.method.input_type is not clock_rpc.AdvanceTimeRequest.DESCRIPTOR:
            return False
        try:
            request = clock_rpc.AdvanceTimeRequest.FromString(call.messages[0])
        except DecodeError:
            return False
        if request.HasField("to"):
            target = request.to.seconds * SECOND_MS
        else:
            target = self._world.now + request.by.seconds * SECOND_MS
        latest = min(self._world.now + LONGEST_STEP_MS, self._world.latest)
        return latest < target <= MAX_INSTANT_MS

    # --- manners

    def _valid(self, method: MethodDescriptor) -> Message:
        return self._plausible.make(method.input_type)

    def _right(self, method: MethodDescriptor) -> bytes:
        return self._valid(method).SerializeToString()

    def _mutated(self, method: MethodDescriptor) -> bytes:
        message = self._valid(method)
        for _ in range(self._rng.choice((1, 1, 1, 2, 4))):
            self._mutate(message)
        return message.SerializeToString()

    def _hostile(self, method: MethodDescriptor) -> bytes:
        message = GetMessageClass(method.input_type)()
        self._spoil_all(message, depth=3)
        return message.SerializeToString()

    def _empty(self, method: MethodDescriptor) -> bytes:
        """No field set, or all messages set and empty."""
        message = GetMessageClass(method.input_type)()
        for field in method.input_type.fields:
            if field.message_type is not None and not field.is_repeated and self._rng.random() < 0.5:
                getattr(message, field.name).SetInParent()
        return message.SerializeToString()

    def _many(self, method: MethodDescriptor) -> bytes:
        """One of its repeated fields, at any depth, has 10,000 items."""
        message = self._valid(method)
        slots = [slot for slot in _slots(message) if slot[1].is_repeated]
        if slots:
            self._multiply(*self._rng.choice(slots), MANY)
        return message.SerializeToString()

    def _heavy(self, method: MethodDescriptor) -> bytes:
        return self._plausible.make(method.input_type, heavy=True).SerializeToString()

    def _too_large(self, method: MethodDescriptor) -> bytes:
        return wire.delimited(wire.HIGHEST_NUMBER, bytes(OVER_THE_LIMIT)) + self._right(method)

    def _spoilt(self, method: MethodDescriptor) -> bytes:
        return wire.spoilt(self._rng, method.input_type, self._right(method))

    # --- mutations

    def _mutate(self, message: Message) -> None:
        slots = list(_slots(message))
        if not slots:
            return
        # Fields near the root would be rare among those of a long schedule.
        names = sorted({field.name for _, field in slots})
        name = self._rng.choice(names)
        owner, field = self._rng.choice([slot for slot in slots if slot[1].name == name])
        self._mutate_field(owner, field)

    def _mutate_field(self, owner: Message, field: FieldDescriptor) -> None:
        if self._rng.random() < 0.15:
            owner.ClearField(field.name)
        elif is_map(field):
            self._mutate_map(getattr(owner, field.name))
        elif field.is_repeated:
            self._mutate_list(owner, field)
        elif field.message_type is None:
            setattr(owner, field.name, values.scalar(self._rng, field))
        else:
            self._mutate_message(getattr(owner, field.name))

    def _mutate_map(self, items: Any) -> None:
        if self._rng.random() < 0.3:
            for number in range(self._rng.choice((33, 1_000))):
                items[f"k{number}"] = ""
        else:
            items[values.text(self._rng)] = values.text(self._rng)

    def _mutate_list(self, owner: Message, field: FieldDescriptor) -> None:
        items = getattr(owner, field.name)
        roll = self._rng.random()
        if roll < 0.3:
            self._multiply(owner, field, self._rng.choice((2, 51, 201, 1_001)))
        elif roll < 0.5 and len(items) > 1:
            backwards = [items[place] for place in range(len(items) - 1, -1, -1)]
            copies = [_copy(item) if isinstance(item, Message) else item for item in backwards]
            del items[:]
            items.extend(copies)
        elif field.message_type is None:
            items.insert(self._rng.randrange(len(items) + 1), values.scalar(self._rng, field))
        else:
            self._spoil_all(items.add(), depth=2)

    def _mutate_message(self, message: Message) -> None:
        message.SetInParent()
        draw = values.seconds_and_nanos(message.DESCRIPTOR.full_name)
        if draw is not None:
            self._set_time(message, draw)
        elif self._rng.random() < 0.3:
            message.Clear()
            message.SetInParent()
        else:
            self._spoil_all(message, depth=2)

    def _spoil_all(self, message: Message, depth: int) -> None:
        draw = values.seconds_and_nanos(message.DESCRIPTOR.full_name)
        if draw is not None:
            self._set_time(message, draw)
            return
        for field in message.DESCRIPTOR.fields:
            if self._rng.random() < 0.3:
                continue
            if is_map(field):
                self._mutate_map(getattr(message, field.name))
            elif field.is_repeated and field.message_type is None:
                count = self._rng.choice((1, 2, 60))
                getattr(message, field.name).extend(values.scalar(self._rng, field) for _ in range(count))
            elif field.message_type is None:
                setattr(message, field.name, values.scalar(self._rng, field))
            elif depth:
                below = getattr(message, field.name)
                for _ in range(self._rng.randrange(1, 4) if field.is_repeated else 1):
                    item = below.add() if field.is_repeated else below
                    item.SetInParent()
                    self._spoil_all(item, depth - 1)

    def _set_time(self, message: Any, draw: Callable[[Random], tuple[int, int]]) -> None:
        message.seconds, message.nanos = draw(self._rng)

    def _multiply(self, owner: Message, field: FieldDescriptor, count: int) -> None:
        """Lets there be `count` more items; fewer where that would be far more than any message may hold."""
        items: Any = getattr(owner, field.name)
        if is_map(field):
            for number in range(count):
                items[f"k{number}"] = "v"
        elif field.message_type is None:
            pattern = list(items) or [values.scalar(self._rng, field)]
            count = min(count, _room_for([len(str(item)) for item in pattern]))
            items.extend(pattern[number % len(pattern)] for number in range(count))
        else:
            pattern = [_copy(item) for item in items[:20]] or [items.add()]
            count = min(count, _room_for([item.ByteSize() for item in pattern]))
            items.extend(pattern[number % len(pattern)] for number in range(count))


_MANNERS: Final[Sequence[tuple[str, Callable[[Generator, MethodDescriptor], bytes]]]] = (
    ("right", Generator._right),
    ("mutated", Generator._mutated),
    ("hostile", Generator._hostile),
    ("empty", Generator._empty),
    ("many", Generator._many),
    ("heavy", Generator._heavy),
    ("too large", Generator._too_large),
    ("spoilt", Generator._spoilt),
)
_WEIGHTS: Final = (300, 400, 80, 20, 20, 4, 2, 150)

MANNERS: Final = tuple(name for name, _ in _MANNERS)


def _is_ours(method: MethodDescriptor) -> bool:
    return method.containing_service.full_name.startswith("slad.")


def _room_for(sizes: Sequence[int]) -> int:
    """How many items of such sizes, in bytes, make a message that is too large."""
    return 1 + OVER_THE_LIMIT * len(sizes) // max(1, sum(sizes))


def _copy(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _slots(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """(owner, field) of every field of a message and of the messages that are set in it."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
        if field.message_type is None or is_map(field) or field.message_type.full_name.startswith("google."):
            continue
        if field.is_repeated:
            for item in getattr(message, field.name)[:3]:
                yield from _slots(item)
        elif message.HasField(field.name):
            yield from _slots(getattr(message, field.name))
