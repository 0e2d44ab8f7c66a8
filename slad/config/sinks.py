"""The tables `[sinks.NAME]`: a class for each type of sink, with its settings.

To add a type, add a class here, and a row in slad/delivery/sinks/kinds.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta

from slad.config.kinds import (
    EventTypeName,
    File,
    NetworkText,
    ReadableFile,
    Secret,
    SecretFile,
    SecretVariable,
    SettingError,
    Span,
)
from slad.config.tables import Table, read
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

OF_ALGA: Final = ("thresholds", "named_clocks", "workflow_stream", "event_types", "above_100", "payload")
"""What `format = "alga"` alone has."""

Text = Annotated[str, Meta(min_length=1)]


class RetrySettings(Table, frozen=True, kw_only=True):
    """How attempts follow each other."""

    backoff_min_ms: Annotated[
        Span,
        Meta(ge=1, le=HOUR_MS),
        "The pause after a failure. It doubles with each further one, and half of it is random jitter.",
    ] = 500
    backoff_max_ms: Annotated[
        Span,
        Meta(ge=1, le=DAY_MS),
        "The longest pause, and the one between attempts while the circuit is open.",
    ] = 30 * SECOND_MS
    attempts: Annotated[
        int,
        Meta(ge=1, le=1_000),
        "After this many failed attempts an event is parked, if the target does not refuse it itself.",
    ] = 8


class SinkSettings(RetrySettings, frozen=True, kw_only=True):
    """What all sinks have."""

    kind: ClassVar[str] = ""
    """The word for `type`."""

    start: Annotated[
        Literal["oldest", "now"],
        "oldest: a new sink begins with the oldest stored event. now: with the next one.",
    ] = "oldest"
    events: Annotated[frozenset[EventTypeName], "Only events of these types. Not set: all."] = frozenset()
    tenants: Annotated[frozenset[str], "Only events of these tenants. Not set: all."] = frozenset()

    def __post_init__(self) -> None:
        if self.backoff_max_ms < self.backoff_min_ms:
            raise SettingError("backoff_max", "is shorter than backoff_min")


class ServerSettings(SinkSettings, frozen=True, kw_only=True):
    """What sinks have that speak to a server."""

    ca_file: Annotated[
        ReadableFile | None, "PEM file of the CAs that slad trusts for the server. Not set: the system's."
    ] = None
    cert_file: Annotated[ReadableFile | None, "slad's own certificate, if the server asks for one."] = None
    key_file: Annotated[ReadableFile | None, "Its private key."] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.key_file is not None and self.cert_file is None:
            raise SettingError("key_file", "needs cert_file")


class RedisSettings(ServerSettings, frozen=True, kw_only=True):
    """Redis Streams."""

    kind = "redis"

    url: Annotated[Text, "redis://HOST:PORT/DB, rediss://… for TLS, or unix:///PATH?db=DB."]
    username: Annotated[Text | None, "User of an ACL. Not set: the default user."] = None
    password_file: Annotated[SecretFile | None, "File that holds the password."] = None
    password_env: Annotated[SecretVariable | None, "Environment variable that holds the password."] = None
    timeout_ms: Annotated[Span, Meta(ge=1, le=MINUTE_MS), "How long connecting, or an answer, may take."] = (
        5 * SECOND_MS
    )
    format: Annotated[
        Literal["cloudevents", "alga"], "cloudevents, or alga: the form of AlgaPSA's event bus."
    ] = "cloudevents"
    stream: Annotated[
        Text | None, "The key; may hold {event_type} and {tenant_id}. Not set: slad:events."
    ] = None
    fields: Annotated[
        dict[str, str] | None,
        "The fields of an entry; values may hold {event} (the JSON), {event_id}, {event_type}, {tenant_id}, "
        '{ticket_id} and {sequence}. Not set: { event = "{event}" }.',
    ] = None
    max_length: Annotated[
        int,
        Meta(ge=0, le=1_000_000_000),
        "About how many entries a stream keeps (MAXLEN ~); 0: all. Entries removed unread are lost.",
    ] = 100_000
    source: Annotated[Text | None, "The source of CloudEvents. Not set: slad."] = None
    thresholds: Annotated[
        Literal["notifications", "all"] | None,
        "With alga: notifications, or all: also escalations and superseded ones. Not set: notifications.",
    ] = None
    named_clocks: Annotated[
        bool | None, "With alga: also events of clocks beside response and resolution. Not set: false."
    ] = None
    workflow_stream: Annotated[
        Text | None, "With alga: the stream of AlgaPSA's workflow engine, to which each event goes as well."
    ] = None
    event_types: Annotated[
        dict[str, str] | None, "With alga: slad's types and their names on the bus; others are left out."
    ] = None
    above_100: Annotated[
        Text | None, "With alga: the type of thresholds above 100 %. Not set: they are left out."
    ] = None
    payload: Annotated[
        dict[str, str] | None, "With alga: names in the payload, and where each value comes from."
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.username is not None and self.password is None:
            raise SettingError("username", "needs password_file or password_env")
        for name in ("source",) if self.is_alga else OF_ALGA:
            if getattr(self, name) is not None:
                needed = "cloudevents" if self.is_alga else "alga"
                raise SettingError(name, f'there is no such setting, unless format = "{needed}"')

    @property
    def is_alga(self) -> bool:
        """Whether entries are in the form of AlgaPSA's event bus."""
        return self.format == "alga"

    @property
    def password(self) -> Secret | None:
        """The password, wherever it is. Raises SettingError when it is in two places."""
        return _only("password", self.password_file, self.password_env)


class WebhookSettings(ServerSettings, frozen=True, kw_only=True):
    """CloudEvents over HTTPS."""

    kind = "webhook"

    url: Annotated[Text, "https://…; http:// only with allow_http = true."]
    allow_http: Annotated[bool, "Permit http://. Others can then read what slad sends."] = False
    secret_file: Annotated[
        tuple[SecretFile, ...], "Files that hold secrets. Each secret signs the request."
    ] = ()
    secret_env: Annotated[tuple[SecretVariable, ...], "Environment variables that hold secrets."] = ()
    authorization_file: Annotated[
        SecretFile | None, "File that holds the value of a header Authorization."
    ] = None
    authorization_env: Annotated[SecretVariable | None, "Environment variable that holds it."] = None
    allow_networks: Annotated[
        tuple[NetworkText, ...], "Networks that are not public and may be connected to, such as 10.0.0.0/8."
    ] = ()
    timeout_ms: Annotated[Span, Meta(ge=1, le=5 * MINUTE_MS), "How long a whole request may take."] = (
        10 * SECOND_MS
    )
    parallel: Annotated[
        int,
        Meta(ge=1, le=64),
        "Requests under way at once. Those of one ticket still go one after the other; with 1, all do.",
    ] = 8
    batch: Annotated[
        int,
        Meta(ge=1, le=250),
        "The most events in one request. Above 1: a request is a CloudEvents batch.",
    ] = 1
    source: Annotated[Text, "The source of CloudEvents."] = "slad"

    @property
    def authorization(self) -> Secret | None:
        """The header's value, wherever it is. Raises SettingError when it is in two places."""
        return _only("authorization", self.authorization_file, self.authorization_env)


class JsonlSettings(SinkSettings, frozen=True, kw_only=True):
    """A file of JSON lines."""

    kind = "jsonl"

    path: Annotated[File, "The file. slad creates it if it does not exist."]
    source: Annotated[Text, "The source of CloudEvents."] = "slad"


TYPES: Final[Mapping[str, type[SinkSettings]]] = {
    table.kind: table for table in (RedisSettings, WebhookSettings, JsonlSettings)
}


def read_sinks(content: object) -> dict[str, SinkSettings]:
    """The sinks that `[sinks]` holds, by name. Raises SettingError."""
    if not isinstance(content, dict):
        raise SettingError("sinks", "is a table: [sinks.NAME]")
    return {name: _read_sink(name, table) for name, table in content.items()}


def _read_sink(name: str, content: Any) -> SinkSettings:
    path = f"sinks.{name}"
    if not isinstance(content, dict):
        raise SettingError(path, f"is a table: [{path}]")
    if not NAME.fullmatch(name):
        raise SettingError(path, "a name is 1 to 64 letters, digits, - and _")
    if "type" not in content:
        raise SettingError(f"{path}.type", "is missing")
    kind, settings = content["type"], {key: value for key, value in content.items() if key != "type"}
    if not isinstance(kind, str):
        raise SettingError(f"{path}.type", f"{kind!r} is not a text in quotes")
    if kind not in TYPES:
        raise SettingError(f"{path}.type", f"{kind!r} is not one of {', '.join(TYPES)}")
    return read(TYPES[kind], settings, path)


def _only(name: str, file: Secret | None, variable: Secret | None) -> Secret | None:
    if file is not None and variable is not None:
        raise SettingError(f"{name}_file", f"only one secret is possible here, and {name}_env is set")
    return file or variable
