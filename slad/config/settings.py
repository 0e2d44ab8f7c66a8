"""Every setting of slad, once: its name, type, bounds, help and default, in the object that its user takes.

A setting is a field. Its key is its name in the tables around it: `log.level` is `level` in the table `[log]`
of the TOML file, the flag `--log-level` and the variable `SLAD_LOG_LEVEL`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from slad.config.addresses import AddressError, check
from slad.config.kinds import Address, Directory, File, HttpUrl, Instant, SecretText, SettingError, Span
from slad.config.sinks import SinkSettings
from slad.config.tables import At, Table
from slad.core.instants import DAY_MS, MINUTE_MS, SECOND_MS


class TlsSettings(Table, frozen=True):
    """TLS of the TCP addresses, all of them. Without a certificate there is none."""

    cert: Annotated[
        File | None, "TLS for the TCP addresses: the certificate and those that lead to its CA, PEM."
    ] = None
    key: Annotated[File | None, "Its private key, PEM, not encrypted."] = None
    client_ca: Annotated[
        File | None, "CAs, PEM: callers over TCP need a certificate that one of them has signed (mTLS)."
    ] = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            given, other = ("cert", "key") if self.key is None else ("key", "cert")
            raise SettingError(given, f"goes with tls.{other}: set both, or neither")
        if self.client_ca is not None and self.cert is None:
            raise SettingError("client_ca", "is of use with tls.cert and tls.key only")


class LogSettings(Table, frozen=True):
    """How slad logs."""

    format: Annotated[Literal["auto", "text", "json"], "auto: text on a terminal, JSON otherwise."] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], "What is worth a line."] = "info"
    slow_calls_ms: Annotated[Span, "A call that takes longer is logged; 0s: none is."] = SECOND_MS


class MetricsSettings(Table, frozen=True):
    """Where metrics are to be had."""

    listen: Annotated[
        Address | None,
        "Serve Prometheus metrics over HTTP at host:port, such as 127.0.0.1:7524. Not set: nowhere.",
    ] = None


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


class RetentionSettings(Table, frozen=True):
    """How long things are kept."""

    events_ms: Annotated[
        Span, "How long acknowledged events are kept, for timelines and for new consumers."
    ] = 30 * DAY_MS
    max_events: Annotated[
        int, Meta(ge=1), "Beyond this number the oldest acknowledged events go earlier."
    ] = 10_000_000
    requests_ms: Annotated[Span, "How long a repeated request_id gets its first answer (M6)."] = field(
        default=7 * DAY_MS, name="request_ids"
    )


class RequestLimits(Table, frozen=True):
    """What a request may hold. Beyond it is INVALID_ARGUMENT, with the field named."""

    id_length: Annotated[int, Meta(ge=1, le=1_000), "Characters of an id or a name."] = 200
    targets: Annotated[int, Meta(ge=1, le=10_000), "Targets of a request."] = 200
    thresholds: Annotated[int, Meta(ge=1, le=1_000), "Notification thresholds of a request."] = 50
    entries: Annotated[int, Meta(ge=1, le=10_000), "Weekly windows of a schedule."] = 1_000
    holidays: Annotated[int, Meta(ge=0, le=100_000), "Holidays of a schedule."] = 10_000
    pauses: Annotated[int, Meta(ge=0, le=10_000), "Pauses of a preview, and of an imported row."] = 1_000
    attributes: Annotated[int, Meta(ge=0, le=1_000), "Attributes of a ticket."] = 32
    attribute_length: Annotated[int, Meta(ge=0, le=100_000), "Characters of an attribute's value."] = 1_000
    page_size: Annotated[int, Meta(ge=1, le=2_000), "Items of a page of a list."] = 1_000


class LimitSettings(Table, frozen=True):
    """How much is too much. docs/errors.md says how each is refused."""

    requests: Annotated[RequestLimits, At("limits")] = field(default_factory=RequestLimits)
    message_bytes: Annotated[
        int,
        Meta(ge=65_536, le=67_108_864),
        "Bytes of a message that is received. A longer one is RESOURCE_EXHAUSTED.",
    ] = 4 * 1024 * 1024
    watches: Annotated[
        int, Meta(ge=1, le=100_000), "Streams of events, in all. More are RESOURCE_EXHAUSTED."
    ] = 1_000
    consumer_streams: Annotated[
        int,
        Meta(ge=1, le=1_000),
        "Streams of one consumer: the live one, and those that stand by. More are RESOURCE_EXHAUSTED.",
    ] = 16
    waiting_commands: Annotated[
        int,
        Meta(ge=1, le=1_000_000),
        "Commands that wait for the disk. More are refused at once: UNAVAILABLE, and when to try again.",
    ] = 10_000


DEFAULT_LIMITS: Final = LimitSettings()


class RoutingSettings(Table, frozen=True):
    """Whose tickets Temporal carries."""

    mode: Annotated[
        Literal["local", "temporal", "by-tenant"],
        At("engine"),
        "Who fires the thresholds of tickets that start: slad itself, Temporal, or either, by tenant.",
    ] = "local"
    tenants: Annotated[
        tuple[str, ...],
        "With engine = by-tenant: whose tickets Temporal carries; names, or patterns with * and ?.",
    ] = ()
    fallback: Annotated[
        Literal["wait", "local"],
        "For a ticket that starts while Temporal is away: forward it later, or let slad itself carry it.",
    ] = "wait"
    grace_ms: Annotated[
        Span, "How long after a threshold is due its workflow is looked at, if no report has come."
    ] = MINUTE_MS

    @property
    def uses_temporal(self) -> bool:
        """Whether any ticket may go to Temporal."""
        return self.mode != "local"


class ConnectionSettings(Table, frozen=True):
    """How to reach a namespace of Temporal."""

    address: Annotated[str, "host:port of Temporal's frontend."] = "127.0.0.1:7233"
    namespace: Annotated[str, "Namespace of the workflows."] = "default"
    task_queue: Annotated[str, "Where the workers of slaTicketWorkflow take tasks."] = "sla-workflows"
    api_key: Annotated[SecretText | None, "API key, of Temporal Cloud for instance."] = None
    tls: Annotated[bool, "Use TLS. An API key, tls_ca or tls_cert imply it."] = False
    tls_ca: Annotated[
        File | None, "PEM file of the authorities that vouch for the server. Not set: those of the system."
    ] = None
    tls_cert: Annotated[File | None, "PEM file of slad's own certificate (mTLS)."] = None
    tls_key: Annotated[File | None, "PEM file of its private key."] = None
    tls_server_name: Annotated[
        str | None, "Name on the server's certificate, if not the host of the address."
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
        "For a workflow that ended or vanished under a live ticket: start it again, or wait for an operator.",
    ] = "restart"


class Settings(Table, frozen=True, kw_only=True):
    """The settings of one run of the daemon."""

    listen: Annotated[tuple[Address, ...], "host:port or unix:PATH; may repeat."] = ("127.0.0.1:7523",)
    data: Annotated[Directory, "Data directory; made if it is not there."] = Path("data")
    virtual_clock: Annotated[
        Instant | None,
        "Let time stand at INSTANT and be moved through slad.v1.TestClock. For tests.",
    ] = None
    tls: TlsSettings = field(default_factory=TlsSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    traces: TracesSettings = field(default_factory=TracesSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    temporal: TemporalSettings = field(default_factory=TemporalSettings)
    sinks: dict[str, SinkSettings] = field(default_factory=dict)
    """By name."""

    def __post_init__(self) -> None:
        for address in self.listen:
            try:
                check(address, with_tls=self.tls.cert is not None)
            except AddressError as error:
                raise SettingError("listen", str(error)) from None


def is_installed(package: str) -> bool:
    """Whether `package` can be imported."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it would lie in
        return False
