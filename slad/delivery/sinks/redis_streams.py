"""Redis Streams: a batch is one transaction of XADDs.

Redis refuses a transaction as a whole for what concerns the server (read-only replica, out of memory, no
permission), so nothing of a batch lands behind a gap. Only a key that is not a stream fails by itself; then
what was before it counts as delivered, and what comes after it may arrive twice.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

import redis.asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from slad_client.v1 import types_pb2 as pb

from slad.config.kinds import Secret, SecretError, SettingError
from slad.config.sinks import RedisSettings
from slad.core.events import PHASES, EventType
from slad.core.instants import SECOND_MS
from slad.delivery.sinks import formats
from slad.delivery.sinks.guard import literal_address
from slad.delivery.sinks.sink import Sink, Unavailable
from slad.storage.store import Lineage

BATCH: Final = 64
"""Events in one transaction: making them takes about 2 ms of the event loop."""

DEFAULT_PORT: Final = 6379
DEFAULT_SOURCE: Final = "slad"

CLOUD_EVENTS, ALGA = "cloudevents", "alga"
STREAMS: Final = {CLOUD_EVENTS: "slad:events", ALGA: "alga-psa:event-stream:global:{event_type}"}
FIELDS: Final = {CLOUD_EVENTS: {"event": "{event}"}, ALGA: {"event": "{event}", "channel": "global"}}
ALGA_TYPES: Final = {EventType.THRESHOLD_REACHED.name: "TICKET_SLA_THRESHOLD_REACHED"}

IN_STREAM: Final = frozenset({"event_type", "tenant_id"})
IN_FIELDS: Final = IN_STREAM | {"event", "event_id", "ticket_id", "sequence"}


class RedisStreams:
    """Publishes to one Redis server."""

    batch = BATCH
    parallel = 1

    def __init__(self, settings: RedisSettings, lineage: Lineage) -> None:
        self._settings, self._lineage = settings, lineage
        password, style = settings.password, settings.format
        self._stream = settings.stream or STREAMS[style]
        self._fields = settings.fields or FIELDS[style]
        self._event_types = ALGA_TYPES if settings.event_types is None else settings.event_types
        self._payload = formats.PAYLOAD if settings.payload is None else settings.payload
        arguments, self.target = _connection(settings)
        self._client = redis.Redis(
            **arguments,
            credential_provider=_Credentials(settings.username, password) if password else None,
            retry=Retry(NoBackoff(), 0),  # attempts are the courier's business
            client_name="slad",
            protocol=2,
        )

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
        except SecretError as error:
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
        if not settings.is_alga:
            body = formats.cloud_event(event, settings.source or DEFAULT_SOURCE, self._lineage)
            return [self._entry(event, formats.type_name(event), body)]
        kind = self._alga_type(event)
        if not kind:
            return []
        body = formats.alga_event(event, kind, self._payload)
        entries = [self._entry(event, kind, body)]
        if settings.workflow_stream:
            entries.append((settings.workflow_stream, formats.alga_workflow_fields(event, body)))
        return entries

    def _alga_type(self, event: pb.SlaEvent) -> str | None:
        """What `event` is called on AlgaPSA's bus; None: it is left out."""
        if event.clock not in ("", *PHASES) and not self._settings.named_clocks:
            return None
        threshold, kind = event.threshold, self._event_types.get(formats.type_name(event))
        if event.type != pb.SLA_EVENT_TYPE_THRESHOLD_REACHED:
            return kind
        if threshold.percent > formats.NOMINAL_PERCENT:
            return self._settings.above_100
        is_told = threshold.notification and not threshold.notification_superseded
        return kind if is_told or self._settings.thresholds == "all" else None

    def _entry(self, event: pb.SlaEvent, kind: str, body: Mapping[str, Any]) -> tuple[str, dict[Any, Any]]:
        values = {
            "event": formats.encode(body).decode(),
            "event_type": kind,
            "event_id": event.event_id,
            "tenant_id": event.tenant_id,
            "ticket_id": event.ticket_id,
            "sequence": event.sequence,
        }
        fields = {name: template.format_map(values) for name, template in self._fields.items()}
        return self._stream.format_map(values), fields


class _Credentials(CredentialProvider):
    """Reads the password for each connection, so a changed one needs no restart."""

    def __init__(self, username: str | None, password: Secret) -> None:
        self._username = username
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """(password,) of the default user, or (user name, password)."""
        password = self._password.read()
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """What `get_credentials` returns, for the asyncio client."""
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


def prepare(settings: RedisSettings) -> Callable[[Lineage], Sink]:
    """How to open such a sink. Raises SettingError."""
    _connection(settings)
    _check_template("stream", settings.stream or "", IN_STREAM)
    if settings.fields == {}:
        raise SettingError("fields", "an entry has at least one field")
    for name, template in (settings.fields or {}).items():
        _check_template(f"fields.{name}", template, IN_FIELDS)
    for name in settings.event_types or {}:
        if name not in EventType.__members__:
            raise SettingError(f"event_types.{name}", f"is not one of {', '.join(EventType.__members__)}")
    for name, value in (settings.payload or {}).items():
        if value not in formats.SOURCES and not value.startswith(formats.ATTRIBUTE):
            known = ", ".join(sorted(formats.SOURCES))
            raise SettingError(f"payload.{name}", f"{value!r} is not one of {known}, attributes.NAME")
    return lambda lineage: RedisStreams(settings, lineage)


def _connection(settings: RedisSettings) -> tuple[dict[str, Any], str]:
    """(arguments for the client, the target for people). Raises SettingError."""
    timeout, url = settings.timeout_ms / SECOND_MS, _url(settings.url)
    arguments: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    if url.scheme == "unix":
        arguments["unix_socket_path"] = url.path
        target = f"unix://{url.path}"
        database = parse_qs(url.query).get("db", ["0"])[0]
    else:
        arguments |= {"host": url.hostname, "port": url.port or DEFAULT_PORT}
        target = f"{url.scheme}://{url.hostname}:{arguments['port']}"
        database = url.path.strip("/") or "0"
    if not database.isdecimal():
        raise SettingError("url", f"{database!r} is not the number of a database")
    arguments["db"] = int(database)
    files = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
    given = {name: path for name in files if (path := getattr(settings, name)) is not None}
    if url.scheme == "rediss":
        arguments |= {"ssl": True, "ssl_min_version": ssl.TLSVersion.TLSv1_2}
        arguments |= {files[name]: str(path) for name, path in given.items()}
    elif given:
        raise SettingError(next(iter(given)), "needs TLS: write the url with rediss://")
    return arguments, target


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        raise SettingError("url", f"is not a URL: {error}") from None
    if url.scheme not in ("redis", "rediss", "unix"):
        raise SettingError("url", "must begin with redis://, rediss:// or unix://")
    if "@" in url.netloc:
        problem = "must not hold a user name or password; use username and password_file or password_env"
        raise SettingError("url", problem)
    if not (url.path if url.scheme == "unix" else url.hostname):
        raise SettingError("url", "must name a server")
    try:
        literal_address(url.hostname or "")
    except ValueError as error:
        raise SettingError("url", str(error)) from None
    return url


def _check_template(key: str, template: str, known: frozenset[str]) -> None:
    try:
        names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise SettingError(key, f"{template!r}: {error}") from None
    for name in names:
        if name not in known:
            options = ", ".join(f"{{{option}}}" for option in sorted(known))
            raise SettingError(key, f"{{{name}}} is not one of {options}")
