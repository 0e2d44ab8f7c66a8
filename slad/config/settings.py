"""Every setting of slad, once: its name, type, bounds, help and default, in the object that its user takes.

A setting is a field. Its key is its name in the tables around it: `log.level` is `level` in the table `[log]`
of the TOML file, the flag `--log-level` and the variable `SLAD_LOG_LEVEL`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from slad.config.addresses import AddressError, check
from slad.config.extras import has_console, is_installed
from slad.config.kinds import (
    Address,
    ClockName,
    Directory,
    FencePlace,
    File,
    HostPort,
    HttpUrl,
    Instant,
    SecretText,
    SettingError,
    Span,
)
from slad.config.sinks import SinkSettings
from slad.config.tables import At, Table
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

MAX_CLOCKS_TOLD_APART: Final = 100
"""Each makes a time series of every metric by clock."""


class TlsSettings(Table, frozen=True):
    """TLS of the TCP addresses, all of them. Without a certificate there is none."""

    cert: Annotated[
        File | None, "Use TLS on the TCP addresses, with this certificate and those that lead to its CA, PEM."
    ] = None
    key: Annotated[File | None, "The private key of that certificate, PEM, not encrypted."] = None
    client_ca: Annotated[
        File | None, "Callers over TCP need a certificate that one of these CAs has signed, PEM (mTLS)."
    ] = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            given, other = ("cert", "key") if self.key is None else ("key", "cert")
            raise SettingError(given, f"needs tls.{other}: set both, or neither")
        if self.client_ca is not None and self.cert is None:
            raise SettingError("client_ca", "needs tls.cert and tls.key")


class LogSettings(Table, frozen=True):
    """How slad logs."""

    format: Annotated[
        Literal["auto", "text", "json"], "auto writes text on a terminal and JSON otherwise."
    ] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], "The lowest level that is logged."] = (
        "info"
    )
    slow_calls_ms: Annotated[Span, "Calls that take longer than this are logged; 0s logs none."] = SECOND_MS


class MetricsSettings(Table, frozen=True):
    """Where metrics are to be had, and what they tell apart."""

    listen: Annotated[
        HostPort | None,
        "Serve Prometheus metrics over HTTP at host:port, such as 127.0.0.1:7524. By default nowhere.",
    ] = None
    clocks: Annotated[
        tuple[ClockName, ...],
        "The named clocks that metrics tell apart, at most 100; all others are counted together, as `other`.",
    ] = ()

    def __post_init__(self) -> None:
        if len(self.clocks) > MAX_CLOCKS_TOLD_APART:
            raise SettingError(
                "clocks", f"{len(self.clocks)} names, at most {MAX_CLOCKS_TOLD_APART} are allowed"
            )


class ConsoleSettings(Table, frozen=True):
    """Where people look at what the clocks do."""

    listen: Annotated[
        Address | None,
        "Serve the console over HTTP at host:port or unix:PATH, such as 127.0.0.1:7525. By default nowhere. "
        "Needs the extra slad[console].",
    ] = None

    def __post_init__(self) -> None:
        if self.listen is not None and not has_console():
            raise SettingError("listen", "the console is not installed: pip install 'slad[console]'")


class TracesSettings(Table, frozen=True):
    """Where traces go."""

    endpoint: Annotated[
        HttpUrl | None,
        "Send OpenTelemetry traces to an OTLP collector (gRPC), such as http://127.0.0.1:4317. "
        "Needs the extra slad[otel].",
    ] = None

    def __post_init__(self) -> None:
        if self.endpoint is not None and not is_installed("opentelemetry.exporter.otlp.proto.grpc"):
            raise SettingError("endpoint", "OpenTelemetry is not installed: pip install 'slad[otel]'")


class StorageSettings(Table, frozen=True):
    """What a replica of the database needs (docs/high-availability.md)."""

    checkpoints: Annotated[
        Literal["own", "external"],
        "Who merges slad.db-wal into slad.db: slad, or Litestream (external), which must read it first.",
    ] = "own"
    heartbeat_ms: Annotated[
        Span,
        "With storage.checkpoints = external: how often the time is written into the database, so that a "
        "replica shows how old it is; 0s never writes it.",
    ] = 10 * SECOND_MS


class FenceSettings(Table, frozen=True):
    """Which of several copies of the database may serve: the one that holds the lease."""

    at: Annotated[
        FencePlace | None,
        "The place of the lease, which only one copy of the database can hold: a path on storage that the "
        "machines share, s3://BUCKET/KEY, or exec:COMMAND. By default there is none.",
    ] = None
    lease_ms: Annotated[
        Span,
        Meta(ge=3 * SECOND_MS, le=10 * MINUTE_MS),
        "How long the lease is valid. It is renewed after a third of this time.",
    ] = 15 * SECOND_MS
    prefer: Annotated[
        Literal["late", "twice"],
        "While the lease cannot be renewed: stop firing and delivering, so that thresholds may be late; "
        "or go on, so that another copy may fire and deliver them too.",
    ] = "late"


class RetentionSettings(Table, frozen=True):
    """How long things are kept."""

    events_ms: Annotated[
        Span, "How long acknowledged events are kept, for timelines and for new consumers."
    ] = 30 * DAY_MS
    max_events: Annotated[
        int, Meta(ge=1), "If there are more acknowledged events than this, the oldest are removed earlier."
    ] = 10_000_000
    requests_ms: Annotated[
        Span, "How long a repeated request_id gets the answer of the first request (M6)."
    ] = field(default=7 * DAY_MS, name="request_ids")
    ledger_ms: Annotated[
        Span, "How long rows of the ledger are kept, from which slad makes reports. By default 25 months."
    ] = 762 * DAY_MS


class LedgerSettings(Table, frozen=True):
    """What the ledger says of a ticket."""

    attributes: Annotated[
        tuple[str, ...],
        "The attributes of tickets that the ledger holds, so that reports can group by them.",
    ] = ()


class RequestLimits(Table, frozen=True):
    """What a request may hold. Beyond it is INVALID_ARGUMENT, with the field named."""

    id_length: Annotated[int, Meta(ge=1, le=1_000), "The most characters of an id or a name."] = 200
    targets: Annotated[int, Meta(ge=1, le=10_000), "The most targets of a request."] = 200
    thresholds: Annotated[int, Meta(ge=1, le=1_000), "The most notification thresholds of a request."] = 50
    entries: Annotated[int, Meta(ge=1, le=10_000), "The most weekly windows of a schedule."] = 1_000
    holidays: Annotated[int, Meta(ge=0, le=100_000), "The most holidays of a schedule."] = 10_000
    pauses: Annotated[int, Meta(ge=0, le=10_000), "The most pauses of a preview or an imported row."] = 1_000
    attributes: Annotated[int, Meta(ge=0, le=1_000), "The most attributes of a ticket."] = 32
    attribute_length: Annotated[
        int, Meta(ge=0, le=100_000), "The most characters of the value of an attribute."
    ] = 1_000
    page_size: Annotated[int, Meta(ge=1, le=2_000), "The most items of a page of a list."] = 1_000


class LimitSettings(Table, frozen=True):
    """How much is too much. docs/errors.md says how each is refused."""

    requests: Annotated[RequestLimits, At("limits")] = field(default_factory=RequestLimits)
    message_bytes: Annotated[
        int,
        Meta(ge=65_536, le=67_108_864),
        "The most bytes of a message from a caller. A longer one is refused: RESOURCE_EXHAUSTED.",
    ] = 4 * 1024 * 1024
    connections: Annotated[
        int, Meta(ge=1, le=100_000), "The most connections of an address. More are closed at once."
    ] = 4_000
    connection_streams: Annotated[
        int,
        Meta(ge=1, le=100_000),
        "The most calls and streams of a connection at once. Clients let more wait, or hear UNAVAILABLE.",
    ] = 1_000
    handshake_time_ms: Annotated[Span, "How long a connection may take to be set up, TLS included."] = (
        5 * SECOND_MS
    )
    receive_time_ms: Annotated[
        Span, "How long the request of a call may take to arrive. Then it is refused: RESOURCE_EXHAUSTED."
    ] = 30 * SECOND_MS
    receive_bytes: Annotated[
        int,
        Meta(ge=1_048_576),
        "The most bytes of requests that have been arriving for more than a second. Beyond it the oldest are "
        "refused: RESOURCE_EXHAUSTED.",
    ] = 256 * 1024 * 1024
    unread_time_ms: Annotated[
        Span, "How long a stream may leave a message unread. Then it ends: UNAVAILABLE, with a delay."
    ] = 2 * MINUTE_MS
    unread_bytes: Annotated[
        int,
        Meta(ge=1_048_576),
        "The most bytes that streams leave unread for more than a second, in all. Beyond it the oldest end: "
        "UNAVAILABLE, with a delay.",
    ] = 64 * 1024 * 1024
    watches: Annotated[
        int,
        Meta(ge=1, le=100_000),
        "The most streams of events, in all. More are refused: RESOURCE_EXHAUSTED.",
    ] = 1_000
    watches_per_caller: Annotated[
        int,
        Meta(ge=1, le=100_000),
        "The most streams of events of one caller: the tenants of a token, else a connection.",
    ] = 200
    consumer_streams: Annotated[
        int,
        Meta(ge=1, le=1_000),
        "The most streams of one consumer, of which one is live. More are refused: RESOURCE_EXHAUSTED.",
    ] = 16
    command_streams: Annotated[
        int,
        Meta(ge=1, le=100_000),
        "The most streams of commands, in all. More are refused: RESOURCE_EXHAUSTED.",
    ] = 1_000
    command_streams_per_caller: Annotated[
        int, Meta(ge=1, le=100_000), "The most streams of commands of one caller."
    ] = 100
    bulk_calls: Annotated[
        int,
        Meta(ge=1, le=10_000),
        "The most imports, exports, reconciliations, bulk retargets and unfolded reports, in all. More "
        "are refused: RESOURCE_EXHAUSTED.",
    ] = 64
    bulk_calls_per_caller: Annotated[
        int,
        Meta(ge=1, le=10_000),
        "The most of those of one caller.",
    ] = 16
    bulk_time_ms: Annotated[Span, "How long each of them may take as a whole."] = HOUR_MS
    wal_bytes: Annotated[
        int,
        Meta(ge=8_388_608),
        "The most bytes by which the WAL may grow while a reconciliation holds its view. Then the call ends: "
        "RESOURCE_EXHAUSTED.",
    ] = 256 * 1024 * 1024
    probes: Annotated[
        int,
        Meta(ge=1, le=100_000),
        "The most watches of health and streams of reflection, in all. More are refused: RESOURCE_EXHAUSTED.",
    ] = 1_000
    probes_per_caller: Annotated[
        int,
        Meta(ge=1, le=100_000),
        "The most of those of one caller.",
    ] = 16
    waiting_commands: Annotated[
        int,
        Meta(ge=1, le=1_000_000),
        "The most commands that wait for the disk. More are refused at once: UNAVAILABLE, with a delay.",
    ] = 10_000


DEFAULT_LIMITS: Final = LimitSettings()


class RoutingSettings(Table, frozen=True):
    """Whose tickets Temporal carries."""

    mode: Annotated[
        Literal["local", "temporal", "by-tenant"],
        At("engine"),
        "Where the timers of new tickets run: in slad, in Temporal, or in either, by tenant.",
    ] = "local"
    tenants: Annotated[
        tuple[str, ...],
        "With engine = by-tenant: the tenants in Temporal, as names or patterns with * and ?.",
    ] = ()
    fallback: Annotated[
        Literal["wait", "local"],
        "If a ticket starts while Temporal is away: forward it later, or run its timers in slad.",
    ] = "wait"
    grace_ms: Annotated[
        Span, "How long a report of a due threshold may be missing before slad fires it itself."
    ] = MINUTE_MS

    worker: Annotated[
        Literal["slad", "alga"],
        "Whose worker serves the workflows: slad's, or AlgaPSA's, which counts without date overrides.",
    ] = "slad"

    @property
    def uses_temporal(self) -> bool:
        """Whether any ticket may go to Temporal."""
        return self.mode != "local"


class ConnectionSettings(Table, frozen=True):
    """How to reach a namespace of Temporal."""

    address: Annotated[str, "The host:port of the Temporal frontend."] = "127.0.0.1:7233"
    namespace: Annotated[str, "The namespace of the workflows."] = "default"
    task_queue: Annotated[str, "The task queue of the workers of slaTicketWorkflow."] = "sla-workflows"
    api_key: Annotated[SecretText | None, "An API key, for example of Temporal Cloud."] = None
    tls: Annotated[bool, "Use TLS. An API key, tls_ca or tls_cert imply it."] = False
    tls_ca: Annotated[
        File | None, "The CAs of the server's certificate, PEM. By default those of the system."
    ] = None
    tls_cert: Annotated[File | None, "The certificate of slad itself, PEM (mTLS)."] = None
    tls_key: Annotated[File | None, "The private key of that certificate, PEM."] = None
    tls_server_name: Annotated[
        str | None, "The name on the server's certificate, if it is not the host of the address."
    ] = None

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls or any((self.api_key, self.tls_ca, self.tls_cert))


class TemporalSettings(Table, frozen=True):
    """Pass-through: whose tickets Temporal carries, and where it is."""

    routing: Annotated[RoutingSettings, At("temporal")] = field(default_factory=RoutingSettings)
    connection: Annotated[ConnectionSettings, At("temporal")] = field(default_factory=ConnectionSettings)
    repair: Annotated[
        Literal["restart", "park"],
        "If the workflow of a live ticket ended or vanished: start it again, or wait for an operator.",
    ] = "restart"


class Settings(Table, frozen=True, kw_only=True):
    """The settings of one run of the daemon."""

    listen: Annotated[tuple[Address, ...], "Listen on host:port or unix:PATH; may repeat."] = (
        "127.0.0.1:7523",
    )
    data: Annotated[
        Directory,
        "The data directory. Only `serve`, `restore` and `tokens create --create-database` create it.",
    ] = Path("data")
    virtual_clock: Annotated[
        Instant | None,
        "For tests: time stands still at INSTANT until slad.v1.TestClock moves it.",
    ] = None
    tls: TlsSettings = field(default_factory=TlsSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    traces: TracesSettings = field(default_factory=TracesSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    fence: FenceSettings = field(default_factory=FenceSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    temporal: TemporalSettings = field(default_factory=TemporalSettings)
    sinks: dict[str, SinkSettings] = field(default_factory=dict)
    """By name."""

    def __post_init__(self) -> None:
        if self.fence.at is not None and self.virtual_clock is not None:
            raise SettingError("fence.at", "a lease needs real time: leave out fence.at or virtual_clock")
        if not self.listen:
            raise SettingError("listen", "is empty")
        listeners = [("listen", address) for address in self.listen]
        if self.console.listen is not None:
            listeners.append(("console.listen", self.console.listen))
        for key, address in listeners:
            try:
                check(address, with_tls=self.tls.cert is not None)
            except AddressError as error:
                raise SettingError(key, str(error)) from None
