"""What the daemon can be told, and by default is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from slad.daemon.certificates import TlsSettings
from slad.delivery.consumers import MAX_STREAMS
from slad.delivery.retention import RetentionSettings
from slad.delivery.sinks.settings import SinkSettings
from slad.engine.engine import MAX_WAITING
from slad.service.limits import MAX_RECEIVE_BYTES, MAX_WATCHES, RequestLimits
from slad.temporal.passthrough.routing import TemporalSettings

DEFAULT_LISTEN: Final = ("127.0.0.1:7523",)
DEFAULT_DATA: Final = Path("data")

STOP_GRACE_S: Final = 5.0
"""How long calls under way may take to finish after SIGTERM."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How slad logs."""

    format: str = "auto"
    """text, json, or auto."""
    level: str = "info"
    """debug, info, warning or error."""
    slow_calls_ms: int = 1_000
    """A call that takes longer is logged; 0: none is."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where metrics are to be had."""

    listen: str | None = None
    """`host:port`; None: nowhere."""


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How much is too much. docs/errors.md says how each is refused."""

    requests: RequestLimits = field(default_factory=RequestLimits)
    message_bytes: int = MAX_RECEIVE_BYTES
    watches: int = MAX_WATCHES
    """Streams of events, in all."""
    consumer_streams: int = MAX_STREAMS
    """Streams of one consumer."""
    waiting_commands: int = MAX_WAITING
    """Commands that wait for the disk."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run."""

    listen: tuple[str, ...] = DEFAULT_LISTEN
    """`host:port` or `unix:PATH`, each."""
    data: Path = DEFAULT_DATA
    """The data directory."""
    virtual_clock: int | None = None
    """UTC epoch ms at which virtual time begins; None: real time."""
    tls: TlsSettings = field(default_factory=TlsSettings)
    """For the TCP addresses; all of them."""
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    traces_endpoint: str | None = None
    """URL of the OTLP collector that gets traces; None: there are none. Needs the extra `slad[otel]`."""
    temporal: TemporalSettings = field(default_factory=TemporalSettings)
    sinks: tuple[SinkSettings, ...] = ()
    limits: LimitSettings = field(default_factory=LimitSettings)
