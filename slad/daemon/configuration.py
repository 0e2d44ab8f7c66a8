"""Every setting of the daemon, and where its value comes from: a flag, the environment, the file, a default.

One row a setting. From its key all else follows: `log.level` is the key `level` in the table `[log]` of the
TOML file, the flag `--log-level` and the variable `SLAD_LOG_LEVEL`. A flag goes before the variable, the
variable before the file, the file before the default.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from slad.daemon.certificates import TlsSettings
from slad.daemon.kinds import BOOLEAN, HTTP_URL, INSTANT, PATH, SPAN, TEXT, TEXTS, Kind, choice, integer
from slad.daemon.settings import (
    DEFAULT_DATA,
    DEFAULT_LISTEN,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    Settings,
)
from slad.daemon.sockets import AddressError, check
from slad.delivery.retention import RetentionSettings
from slad.delivery.sinks.settings import TABLE as SINKS_TABLE
from slad.delivery.sinks.settings import SinkSettings, sink_settings
from slad.delivery.sinks.table import SinkSettingsError
from slad.service.limits import RequestLimits
from slad.temporal.connection import ConnectionSettings
from slad.temporal.passthrough.routing import RoutingSettings, TemporalSettings

FLAG, ENVIRONMENT, DEFAULT = "flag", "environment", "default"
"""Where a value may come from, besides a file."""


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message says what, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that the daemon can be told."""

    key: str
    """Its place in the TOML file: `table.key`, or `key` at the top."""
    kind: Kind[Any]
    default: Any
    """None: not set."""
    help: str
    metavar: str = ""
    """What stands for the value in help texts, if not what its kind says."""
    secret: bool = False
    """A text that is never shown, and has no flag."""

    @property
    def flag(self) -> str:
        """`--table-key`."""
        return f"--{self.parameter.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """`SLAD_TABLE_KEY`."""
        return f"SLAD_{self.parameter.upper()}"

    @property
    def parameter(self) -> str:
        """`table_key`, as a name in Python."""
        return self.key.replace(".", "_")

    def show(self, value: Any) -> str:
        """`value` as a person would write it."""
        if value is None:
            return ""
        return "(secret)" if self.secret else self.kind.show(value)


_RETENTION: Final = RetentionSettings()
_LOG: Final = LogSettings()
_ROUTING: Final = RoutingSettings()
_TEMPORAL: Final = ConnectionSettings()
_LIMITS: Final = LimitSettings()
_REQUESTS: Final = _LIMITS.requests

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("listen", TEXTS, DEFAULT_LISTEN, "host:port or unix:PATH; may repeat.", "ADDR"),
    Setting("data", PATH, DEFAULT_DATA, "Data directory; made if it is not there.", "DIR"),
    Setting(
        "virtual_clock",
        INSTANT,
        None,
        "Let time stand at INSTANT and be moved through slad.v1.TestClock. For tests.",
    ),
    Setting(
        "engine",
        choice("local", "temporal", "by-tenant"),
        _ROUTING.mode,
        "Who fires the thresholds of tickets that start: slad itself, Temporal, or either, by tenant.",
    ),
    Setting("tls.cert", PATH, None, "TLS for the TCP addresses: the certificate chain, PEM.", "FILE"),
    Setting("tls.key", PATH, None, "Its private key, PEM.", "FILE"),
    Setting(
        "tls.client_ca",
        PATH,
        None,
        "CAs, PEM: callers over TCP need a certificate that one of them has signed.",
        "FILE",
    ),
    Setting(
        "log.format",
        choice("auto", "text", "json"),
        _LOG.format,
        "auto: text on a terminal, JSON otherwise.",
    ),
    Setting("log.level", choice("debug", "info", "warning", "error"), _LOG.level, "What is worth a line."),
    Setting("log.slow_calls", SPAN, _LOG.slow_calls_ms, "A call that takes longer is logged; 0s: none is."),
    Setting(
        "metrics.listen",
        TEXT,
        None,
        "Serve Prometheus metrics over HTTP at host:port, such as 127.0.0.1:7524.",
        "ADDR",
    ),
    Setting(
        "traces.endpoint",
        HTTP_URL,
        None,
        "Send OpenTelemetry traces to an OTLP collector (gRPC), such as http://127.0.0.1:4317.",
    ),
    Setting("retention.events", SPAN, _RETENTION.events_ms, "How long acknowledged events are kept."),
    Setting(
        "retention.max_events",
        integer(1),
        _RETENTION.max_events,
        "Beyond this number the oldest acknowledged events go earlier.",
    ),
    Setting(
        "retention.request_ids",
        SPAN,
        _RETENTION.requests_ms,
        "How long a repeated request_id gets its first answer.",
    ),
    Setting(
        "limits.message_bytes",
        integer(65_536, 67_108_864),
        _LIMITS.message_bytes,
        "Bytes of a message that is received.",
    ),
    Setting("limits.id_length", integer(1, 1_000), _REQUESTS.id_length, "Characters of an id or a name."),
    Setting("limits.targets", integer(1, 10_000), _REQUESTS.targets, "Targets of a request."),
    Setting(
        "limits.thresholds", integer(1, 1_000), _REQUESTS.thresholds, "Notification thresholds of a request."
    ),
    Setting("limits.entries", integer(1, 10_000), _REQUESTS.entries, "Weekly windows of a schedule."),
    Setting("limits.holidays", integer(0, 100_000), _REQUESTS.holidays, "Holidays of a schedule."),
    Setting(
        "limits.pauses", integer(0, 10_000), _REQUESTS.pauses, "Pauses of a preview, and of an imported row."
    ),
    Setting("limits.attributes", integer(0, 1_000), _REQUESTS.attributes, "Attributes of a ticket."),
    Setting(
        "limits.attribute_length",
        integer(0, 100_000),
        _REQUESTS.attribute_length,
        "Characters of an attribute's value.",
    ),
    Setting("limits.page_size", integer(1, 2_000), _REQUESTS.page_size, "Items of a page of a list."),
    Setting("limits.watches", integer(1, 100_000), _LIMITS.watches, "Streams of events, in all."),
    Setting(
        "limits.consumer_streams",
        integer(1, 1_000),
        _LIMITS.consumer_streams,
        "Streams of one consumer: the live one, and those that stand by.",
    ),
    Setting(
        "limits.waiting_commands",
        integer(1, 1_000_000),
        _LIMITS.waiting_commands,
        "Commands that wait for the disk; more are refused at once.",
    ),
    Setting(
        "temporal.tenants",
        TEXTS,
        _ROUTING.tenants,
        "With engine = by-tenant: whose tickets Temporal carries; names, or patterns with * and ?.",
    ),
    Setting("temporal.address", TEXT, _TEMPORAL.address, "host:port of Temporal's frontend."),
    Setting("temporal.namespace", TEXT, _TEMPORAL.namespace, "Namespace of the workflows."),
    Setting(
        "temporal.task_queue",
        TEXT,
        _TEMPORAL.task_queue,
        "Where the workers of slaTicketWorkflow take tasks.",
    ),
    Setting("temporal.api_key", TEXT, None, "API key, of Temporal Cloud for instance.", secret=True),
    Setting("temporal.tls", BOOLEAN, _TEMPORAL.tls, "Use TLS; implied by an API key or a certificate."),
    Setting("temporal.tls_ca", PATH, None, "PEM file of the authorities that vouch for the server.", "FILE"),
    Setting("temporal.tls_cert", PATH, None, "PEM file of slad's own certificate (mTLS).", "FILE"),
    Setting("temporal.tls_key", PATH, None, "PEM file of its private key.", "FILE"),
    Setting("temporal.tls_server_name", TEXT, None, "Name on the server's certificate, if not the host."),
    Setting(
        "temporal.fallback",
        choice("wait", "local"),
        "wait",
        "For a ticket that starts while Temporal is away: forward it later, or let slad itself carry it.",
    ),
    Setting(
        "temporal.repair",
        choice("restart", "park"),
        "restart",
        "For a workflow that ended or vanished under a live ticket: start it again, or wait for an operator.",
    ),
    Setting(
        "temporal.grace",
        SPAN,
        _ROUTING.grace_ms,
        "How long after a threshold is due its workflow is looked at, if no report has come.",
    ),
)
"""All of them, in the order in which they are documented."""

BY_KEY: Final = {setting.key: setting for setting in SETTINGS}

CONNECTION_KEYS: Final = (
    "temporal.address",
    "temporal.namespace",
    "temporal.task_queue",
    "temporal.api_key",
    "temporal.tls",
    "temporal.tls_ca",
    "temporal.tls_cert",
    "temporal.tls_key",
    "temporal.tls_server_name",
)
"""Where Temporal is: what the daemon, its worker and `slad doctor` share."""

FREE_TABLES: Final[frozenset[str]] = frozenset({SINKS_TABLE})
"""Tables of the file whose keys are names that the operator chooses; what is in them is checked elsewhere."""


class Value(NamedTuple):
    """The value of a setting, and where it comes from."""

    value: Any
    origin: str
    """FLAG, ENVIRONMENT, DEFAULT or the path of a file."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All settings with their origins. `given` and `path` are what it was made of, for a reload."""

    values: Mapping[str, Value]
    given: Mapping[str, Value]
    path: Path | None
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the file holds in FREE_TABLES."""

    def __getitem__(self, key: str) -> Any:
        return self.values[key].value

    def reloaded(self) -> Configuration:
        """The same with the file read again. Raises ConfigurationError."""
        return configure(self.given, self.path)

    def settings(self) -> Settings:
        """The settings as the daemon takes them. Raises ConfigurationError."""
        return Settings(
            listen=self["listen"],
            data=self["data"],
            tls=self._tls(),
            virtual_clock=self["virtual_clock"],
            log=LogSettings(self["log.format"], self["log.level"], self["log.slow_calls"]),
            traces_endpoint=_traceable(self["traces.endpoint"]),
            metrics=MetricsSettings(self["metrics.listen"]),
            retention=RetentionSettings(
                self["retention.events"], self["retention.max_events"], self["retention.request_ids"]
            ),
            temporal=self.temporal(),
            sinks=self._sinks(),
            limits=self._limits(),
        )

    def _limits(self) -> LimitSettings:
        return LimitSettings(
            requests=RequestLimits(
                id_length=self["limits.id_length"],
                targets=self["limits.targets"],
                thresholds=self["limits.thresholds"],
                entries=self["limits.entries"],
                holidays=self["limits.holidays"],
                pauses=self["limits.pauses"],
                attributes=self["limits.attributes"],
                attribute_length=self["limits.attribute_length"],
                page_size=self["limits.page_size"],
            ),
            message_bytes=self["limits.message_bytes"],
            watches=self["limits.watches"],
            consumer_streams=self["limits.consumer_streams"],
            waiting_commands=self["limits.waiting_commands"],
        )

    def _sinks(self) -> tuple[SinkSettings, ...]:
        try:
            return sink_settings(self.tables.get(SINKS_TABLE, {}))
        except SinkSettingsError as error:
            raise ConfigurationError(f"{self.path}: {error}") from None

    def temporal(self) -> TemporalSettings:
        """The part about Temporal, which the worker takes too."""
        return TemporalSettings(
            routing=RoutingSettings(
                self["engine"],
                self["temporal.tenants"],
                self["temporal.fallback"] == "local",
                self["temporal.grace"],
            ),
            connection=ConnectionSettings(
                address=self["temporal.address"],
                namespace=self["temporal.namespace"],
                task_queue=self["temporal.task_queue"],
                api_key=self["temporal.api_key"],
                tls=self["temporal.tls"],
                tls_ca=self["temporal.tls_ca"],
                tls_cert=self["temporal.tls_cert"],
                tls_key=self["temporal.tls_key"],
                tls_server_name=self["temporal.tls_server_name"],
            ),
            repair=self["temporal.repair"],
        )

    def _tls(self) -> TlsSettings:
        tls = TlsSettings(self["tls.cert"], self["tls.key"], self["tls.client_ca"])
        if (tls.cert is None) != (tls.key is None):
            raise ConfigurationError("tls.cert and tls.key go together: set both, or neither")
        if tls.client_ca is not None and tls.cert is None:
            raise ConfigurationError("tls.client_ca is of use with tls.cert and tls.key only")
        for address in self["listen"]:
            try:
                check(address, with_tls=tls.cert is not None)
            except AddressError as error:
                raise ConfigurationError(f"listen: {error}") from None
        return tls


def configure(given: Mapping[str, Value], path: Path | None = None) -> Configuration:
    """The configuration that flags and environment (`given`, by key) and the TOML file at `path` make.

    Raises ConfigurationError when the file cannot be read, holds a key that is unknown or a wrong value.
    """
    content = _read(path) if path is not None else {}
    tables = {name: content.pop(name) for name in FREE_TABLES if isinstance(content.get(name), dict)}
    in_file = {key: _checked(key, value, path) for key, value in _flat(content)}
    values = {
        setting.key: given.get(setting.key) or in_file.get(setting.key) or Value(setting.default, DEFAULT)
        for setting in SETTINGS
    }
    return Configuration(values, given, path, tables)


def _traceable(endpoint: str | None) -> str | None:
    if endpoint is not None and not _is_installed("opentelemetry.exporter.otlp.proto.grpc"):
        raise ConfigurationError("traces.endpoint: OpenTelemetry is not installed: pip install 'slad[otel]'")
    return endpoint


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it would lie in
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from error


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in BY_KEY:
            yield from _flat(value, f"{key}.") if value else ()
        else:
            yield key, value


def _checked(key: str, value: Any, path: Path | None) -> Value:
    setting = BY_KEY.get(key)
    if setting is None:
        if any(known.startswith(f"{key}.") for known in BY_KEY):
            raise ConfigurationError(f"{path}: {key} is a table: [{key}]")
        near = difflib.get_close_matches(key, [*BY_KEY, *FREE_TABLES], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; `slad config show` lists all that there are"
        raise ConfigurationError(f"{path}: there is no setting {key!r}{hint}")
    try:
        return Value(setting.kind.from_toml(value), str(path))
    except ValueError as error:
        raise ConfigurationError(f"{path}: {key}: {error}") from None
