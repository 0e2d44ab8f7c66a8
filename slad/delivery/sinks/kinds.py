"""The types of sinks that there are, and how one of each is made."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol, cast

from slad.config.kinds import SettingError
from slad.config.settings import Settings
from slad.config.sinks import SinkSettings
from slad.delivery.sinks.sink import Sink
from slad.storage.store import Lineage


class Kind(NamedTuple):
    """A type of sink: its module, which is imported when it is configured, and the extra that it needs."""

    module: str
    extra: str = ""


KINDS: Final[dict[str, Kind]] = {
    "redis": Kind("slad.delivery.sinks.redis_streams", "redis"),
    "webhook": Kind("slad.delivery.sinks.webhook", "webhooks"),
    "jsonl": Kind("slad.delivery.sinks.jsonl"),
}
"""To add a type: a module with a function `prepare`, a row here, and its settings in slad/config/sinks.py."""


OpenSink = Callable[[Lineage], Sink]
"""Opens a sink, given whose events it delivers."""


class Prepare(Protocol):
    """What the module of a type has. The sink that it makes is opened on the event loop, once."""

    def __call__(self, settings: Any) -> OpenSink:
        """How to open the sink with these settings. Nothing may fail there that depends on the target.

        Raises SettingError, with the name of a field, for what the settings do not check themselves.
        """
        ...


def prepare(name: str, settings: SinkSettings) -> OpenSink:
    """How to open the sink of this name. Raises SettingError with the whole key."""
    module, extra = KINDS[settings.kind]
    try:
        configure = cast(Prepare, import_module(module).prepare)
    except ModuleNotFoundError as error:
        if not extra or (error.name or "").startswith("slad"):
            raise
        package = str(error.name).partition(".")[0]
        problem = f"{settings.kind!r} needs the package {package!r}: pip install 'slad[{extra}]'"
        raise SettingError(f"sinks.{name}.type", problem) from None
    try:
        return configure(settings)
    except SettingError as error:
        raise SettingError(f"sinks.{name}.{error.key}", error.problem) from None


def check_sinks(settings: Settings) -> None:
    """Raises SettingError for a sink that could not be opened."""
    for name, sink in settings.sinks.items():
        prepare(name, sink)
