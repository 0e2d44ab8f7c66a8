"""Redis Streams: a batch is one transaction of XADDs.

Redis refuses a transaction as a whole for what concerns the server (read-only replica, out of memory, no
permission), so nothing of a batch lands behind a gap. Only a key that is not a stream fails by itself; then
what was before it counts as delivered, and what comes after it may arrive twice.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

import redis.asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from slad_client.v1 import types_pb2 as pb

from slad.core.events import EventType
from slad.core.instants import MINUTE_MS, SECOND_MS
from slad.delivery.sinks import formats
from slad.delivery.sinks.sink import Sink, Unavailable
from slad.delivery.sinks.table import Secret, SinkSettingsError, Table

BATCH: Final = 64
"""Events in one transaction: making them takes about 2 ms of the event loop."""

DEFAULT_PORT: Final = 6379
MAX_LENGTH: Final = 1_000_000_000

CLOUD_EVENTS, ALGA = "cloudevents", "alga"
STREAMS: Final = {CLOUD_EVENTS: "slad:events", ALGA: "alga-psa:event-stream:global:{event_type}"}
FIELDS: Final = {CLOUD_EVENTS: {"event": "{event}"}, ALGA: {"event": "{event}", "channel": "global"}}
ALGA_TYPES: Final = {EventType.THRESHOLD_REACHED.name: "TICKET_SLA_THRESHOLD_REACHED"}
NOTIFICATIONS, ALL = "notifications", "all"

IN_STREAM: Final = frozenset({"event_type", "tenant_id"})
IN_FIELDS: Final = IN_STREAM | {"event", "event_id", "ticket_id", "sequence"}


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where events go, and in which form."""

    connection: Mapping[str, Any]
    """Arguments of `redis.asyncio.Redis`, without user name and password."""
    target: str
    username: str
    password: Secret | None
    stream: str
    fields: Mapping[str, str]
    max_length: int
    """Entries that a stream keeps, about; 0: all."""
    source: str = "slad"
    """CloudEvents: the source."""
    alga: bool = False
    event_types: Mapping[str, str] = field(default_factory=dict)
    """AlgaPSA: names of slad's event types → its own; others are left out."""
    above_100: str = ""
    """AlgaPSA: the type under which thresholds above 100 % go; empty: they are left out."""
    payload: Mapping[str, str] = field(default_factory=dict)
    all_thresholds: bool = False
    """AlgaPSA: also escalations, and what is superseded. Its subscriber tells people of whatever comes, as of
    the policy's highest threshold at or below that percent."""
    workflow_stream: str = ""
    """AlgaPSA: the stream of its workflow engine, to which each event goes as well; empty: to none."""


class RedisStreams:
    """Publishes to one Redis server."""

    batch = BATCH

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        password = settings.password
        self._client = redis.Redis(
            **settings.connection,
            credential_provider=_Credentials(settings.username, password) if password else None,
            retry=Retry(NoBackoff(), 0),  # attempts are the courier's business
            client_name="slad",
            protocol=2,
        )

    @property
    def target(self) -> str:
        """The server."""
        return self._settings.target

    async def deliver(self, events: Sequence[pb.SlaEvent]) -> None:
        """Adds an entry an event, unless the format leaves it out. Raises Unavailable."""
        entries = [(place, entry) for place, event in enumerate(events) for entry in self._entries(event)]
        if not entries:
            return
        pipeline = self._client.pipeline(transaction=True)
        for _, (stream, fields) in entries:
            pipeline.xadd(stream, fields, maxlen=self._settings.max_length or None, approximate=True)
        try:
            results = await pipeline.execute(raise_on_error=False)
        except SinkSettingsError as error:
            raise Unavailable(str(error)) from None
        except (exceptions.RedisError, OSError) as error:
            raise _unavailable(error) from error
        for (place, (stream, _)), result in zip(entries, results, strict=True):
            if isinstance(result, Exception):
                raise _unavailable(result, stream, delivered=place)

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.aclose()

    def _entries(self, event: pb.SlaEvent) -> list[tuple[str, dict[Any, Any]]]:
        """(stream, fields) of all that goes out for `event`."""
        settings = self._settings
        if not settings.alga:
            body = formats.cloud_event(event, settings.source)
            return [self._entry(event, formats.type_name(event), body)]
        kind = self._alga_type(event)
        if not kind:
            return []
        body = formats.alga_event(event, kind, settings.payload)
        entries = [self._entry(event, kind, body)]
        if settings.workflow_stream:
            entries.append((settings.workflow_stream, formats.alga_workflow_fields(event, body)))
        return entries

    def _alga_type(self, event: pb.SlaEvent) -> str:
        """What `event` is called on AlgaPSA's bus; empty: it is left out."""
        settings, threshold = self._settings, event.threshold
        if event.type != pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
            return settings.event_types.get(formats.type_name(event), "")
        if threshold.percent > formats.NOMINAL_PERCENT:
            return settings.above_100
        is_told = threshold.notification and not threshold.notification_superseded
        return (
            settings.event_types.get(formats.type_name(event), "")
            if is_told or settings.all_thresholds
            else ""
        )

    def _entry(self, event: pb.SlaEvent, kind: str, body: Mapping[str, Any]) -> tuple[str, dict[Any, Any]]:
        values = {
            "event": formats.encode(body).decode(),
            "event_type": kind,
            "event_id": event.event_id,
            "tenant_id": event.tenant_id,
            "ticket_id": event.ticket_id,
            "sequence": event.sequence,
        }
        fields = {name: template.format_map(values) for name, template in self._settings.fields.items()}
        return self._settings.stream.format_map(values), fields


class _Credentials(CredentialProvider):
    """Reads the password anew for each connection, so that a changed one needs no restart."""

    def __init__(self, username: str, password: Secret) -> None:
        self._username = username
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """(password,) of the default user, or (user name, password)."""
        password = self._password.read()
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same."""
        return self.get_credentials()


# --- what went wrong

TROUBLES: Final[Mapping[str, str]] = {
    "NOAUTH": "the Redis server requires a password",
    "WRONGPASS": "the Redis server refuses the user name or the password",
    "NOPERM": "the Redis user has no permission for these commands or keys",
    "READONLY": "the Redis server is a read-only replica",
    "OOM": "the Redis server is out of memory (maxmemory)",
    "LOADING": "the Redis server is loading its data",
    "MASTERDOWN": "the Redis server is a replica without its master",
    "MISCONF": "the Redis server cannot save to its disk, and so refuses to write",
    "NOREPLICAS": "the Redis server has too few replicas to write",
    "CLUSTERDOWN": "the Redis cluster is down",
    "MOVED": "the Redis server is part of a cluster and does not hold this key",
    "CROSSSLOT": "the Redis server is part of a cluster and spreads these streams over several slots",
}
"""By the first word of Redis's answer. The rest of it is never shown: it may hold anything."""


def _unavailable(error: BaseException, stream: str = "", delivered: int = 0) -> Unavailable:
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    tls = _cause(error, ssl.SSLError)
    if code == "WRONGTYPE":
        message = f"the Redis key {stream!r} holds something other than a stream"
    elif code in TROUBLES:
        message = TROUBLES[code]
    elif isinstance(error, exceptions.AuthenticationError):
        message = TROUBLES["WRONGPASS"]
    elif tls is not None:
        message = (
            f"no TLS with the Redis server: {getattr(tls, 'verify_message', '') or tls.reason or 'it broke'}"
        )
    elif isinstance(error, exceptions.TimeoutError):
        message = "the Redis server does not answer in time"
    elif isinstance(error, exceptions.ConnectionError | OSError):
        message = "the Redis server cannot be reached, or closed the connection"
    else:
        message = f"the Redis server answers {code[:40]}"
    return Unavailable(message, delivered=delivered)


def _cause(error: BaseException | None, kind: type[ssl.SSLError]) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


# --- settings


def configure(table: Table) -> Callable[[], Sink]:
    """Takes the settings of docs/events.md out of `table`."""
    connection, target = _connection(table)
    alga = table.choice("format", (CLOUD_EVENTS, ALGA), CLOUD_EVENTS) == ALGA
    style = ALGA if alga else CLOUD_EVENTS
    settings = RedisSettings(
        connection=connection,
        target=target,
        username=table.text("username", ""),
        password=table.secret("password"),
        stream=_template(table, "stream", table.text("stream", STREAMS[style]), IN_STREAM),
        fields=table.mapping("fields", FIELDS[style]),
        max_length=table.integer("max_length", 100_000, 0, MAX_LENGTH),
        alga=alga,
        source="" if alga else table.text("source", "slad"),
        event_types=table.mapping("event_types", ALGA_TYPES) if alga else {},
        above_100=table.text("above_100", "") if alga else "",
        payload=table.mapping("payload", formats.PAYLOAD) if alga else {},
        all_thresholds=alga and table.choice("thresholds", (NOTIFICATIONS, ALL), NOTIFICATIONS) == ALL,
        workflow_stream=table.text("workflow_stream", "") if alga else "",
    )
    if settings.username and settings.password is None:
        raise table.wrong("username", "needs password_file or password_env")
    if not settings.fields:
        raise table.wrong("fields", "an entry has at least one field")
    for name, template in settings.fields.items():
        _template(table, f"fields.{name}", template, IN_FIELDS)
    for name in settings.event_types:
        if name not in EventType.__members__:
            raise table.wrong(f"event_types.{name}", f"is not one of {', '.join(EventType.__members__)}")
    for name, value in settings.payload.items():
        if value not in formats.SOURCES and not value.startswith(formats.ATTRIBUTE):
            known = ", ".join(sorted(formats.SOURCES))
            raise table.wrong(f"payload.{name}", f"{value!r} is not one of {known}, attributes.NAME")
    return lambda: RedisStreams(settings)


def _connection(table: Table) -> tuple[dict[str, Any], str]:
    """(arguments for the client, the target for people)."""
    timeout = table.span_ms("timeout", "5s", 1, MINUTE_MS) / SECOND_MS
    arguments: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    url, files = _url(table), {key: table.file(key) for key in ("ca_file", "cert_file", "key_file")}
    if url.scheme == "unix":
        arguments["unix_socket_path"] = url.path
        target = f"unix://{url.path}"
    else:
        arguments |= {"host": url.hostname, "port": url.port or DEFAULT_PORT}
        target = f"{url.scheme}://{url.hostname}:{arguments['port']}"
    database = (
        parse_qs(url.query).get("db", ["0"])[0] if url.scheme == "unix" else url.path.strip("/")
    ) or "0"
    if not database.isdecimal():
        raise table.wrong("url", f"{database!r} is not the number of a database")
    arguments["db"] = int(database)
    if url.scheme == "rediss":
        names = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
        arguments |= {"ssl": True, "ssl_min_version": ssl.TLSVersion.TLSv1_2}
        arguments |= {names[key]: path for key, path in files.items()}
    else:
        for key in (key for key, path in files.items() if path):
            raise table.wrong(key, "is for TLS; write the url with rediss://")
    return arguments, target


def _url(table: Table) -> SplitResult:
    text = table.text("url")
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        raise table.wrong("url", f"is not a URL: {error}") from None
    if url.scheme not in ("redis", "rediss", "unix"):
        raise table.wrong("url", "begins with redis://, rediss:// or unix://")
    if "@" in url.netloc:
        raise table.wrong(
            "url", "holds no user name or password; use username and password_file or password_env"
        )
    if not (url.path if url.scheme == "unix" else url.hostname):
        raise table.wrong("url", "names no server")
    return url


def _template(table: Table, key: str, template: str, known: frozenset[str]) -> str:
    try:
        names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise table.wrong(key, f"{template!r}: {error}") from None
    for name in names:
        if name not in known:
            raise table.wrong(key, f"{{{name}}} is not one of {', '.join(f'{{{k}}}' for k in sorted(known))}")
    return template
