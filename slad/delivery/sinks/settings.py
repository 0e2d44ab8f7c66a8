"""The tables `[sinks.NAME]` of the configuration file, and the kinds of sinks that there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final, NamedTuple, Protocol, cast

from slad.core.events import EventType
from slad.core.instants import DAY_MS, HOUR_MS
from slad.delivery.sinks.circuit import RetrySettings
from slad.delivery.sinks.sink import Sink
from slad.delivery.sinks.table import SinkSettingsError, Table

TABLE: Final = "sinks"
"""The table of the configuration file."""

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

MAX_ATTEMPTS: Final = 1_000


class Kind(NamedTuple):
    """A kind of sink: its module, which is imported when it is configured, and the extra that it needs."""

    module: str
    extra: str = ""


KINDS: Final[Mapping[str, Kind]] = {
    "redis": Kind("slad.delivery.sinks.redis_streams", "redis"),
    "webhook": Kind("slad.delivery.sinks.webhook", "webhooks"),
    "jsonl": Kind("slad.delivery.sinks.jsonl"),
}
"""To add a kind: a module with a function `configure` (see `Configure`), and a row here."""


class Configure(Protocol):
    """What a module of a kind has: takes its own settings out of a table, and returns how to open such a
    sink.

    Raises SinkSettingsError for a value that is wrong. The sink is opened on the event loop, once; nothing
    may fail there that depends on the target.
    """

    def __call__(self, table: Table) -> Callable[[], Sink]:
        """How to open the sink that `table` describes."""
        ...


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """One sink, as it is configured."""

    name: str
    kind: str
    open: Callable[[], Sink]
    from_now: bool = False
    """A new sink begins with the next event, instead of the oldest that is there."""
    types: frozenset[EventType] = frozenset()
    """The types of events that are delivered; empty: all."""
    tenants: frozenset[str] = frozenset()
    """The tenants whose events are delivered; empty: all."""
    retry: RetrySettings = field(default_factory=RetrySettings)


def sink_settings(tables: Mapping[str, object]) -> tuple[SinkSettings, ...]:
    """The sinks that the tables below `[sinks]`, by name, describe.

    Raises SinkSettingsError, which names the key: `sinks.psa.url: is missing`.
    """
    return tuple(_sink(name, content) for name, content in tables.items())


def _sink(name: str, content: object) -> SinkSettings:
    table = Table(f"{TABLE}.{name}", content)
    if not NAME.fullmatch(name):
        raise SinkSettingsError(table.path, "a name is 1 to 64 letters, digits, - and _")
    kind = table.choice("type", KINDS)
    retry = RetrySettings(
        backoff_min_ms=table.span_ms("backoff_min", "500ms", 1, HOUR_MS),
        backoff_max_ms=table.span_ms("backoff_max", "30s", 1, DAY_MS),
        attempts=table.integer("attempts", RetrySettings().attempts, 1, MAX_ATTEMPTS),
    )
    if retry.backoff_max_ms < retry.backoff_min_ms:
        raise table.wrong("backoff_max", "is shorter than backoff_min")
    from_now = table.choice("start", ("oldest", "now"), "oldest") == "now"
    types = frozenset(_event_type(table, word) for word in table.texts("events"))
    tenants = frozenset(table.texts("tenants"))
    configure = _configure_of(table, kind)
    found = SinkSettings(name, kind, configure(table), from_now, types, tenants, retry)
    table.done()
    return found


def _event_type(table: Table, word: str) -> EventType:
    try:
        return EventType[word]
    except KeyError:
        known = ", ".join(EventType.__members__)
        raise table.wrong("events", f"{word!r} is not one of {known}") from None


def _configure_of(table: Table, kind: str) -> Configure:
    module, extra = KINDS[kind]
    try:
        return cast(Configure, import_module(module).configure)
    except ModuleNotFoundError as error:
        if not extra or (error.name or "").startswith("slad"):
            raise
        package = str(error.name).partition(".")[0]
        problem = f"{kind!r} needs the package {package!r}: pip install 'slad[{extra}]'"
        raise table.wrong("type", problem) from None
