"""How the values of a setting are written: that follows from the type of the field that it fills.

msgspec knows most types. A `Form` in the annotation describes the others, such as lengths of time.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin
from urllib.parse import parse_qsl, urlsplit

import msgspec

from slad.config.addresses import split_host_port
from slad.core.events import EventType
from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, format_instant, parse_instant
from slad.core.terms import CLOCK_NAME


class SettingError(ValueError):
    """A setting has a wrong value; the message begins with its key."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


class Form(NamedTuple):
    """How one type of values is written as text."""

    metavar: str
    """What stands for a value in help texts."""
    read: Callable[[str], Any] = str
    """Raises ValueError with a sentence for people."""
    show: Callable[[Any], str] = str
    is_secret: bool = False
    """Values are never shown, and have no flag: everybody can read the command line of a process."""


class Kind:
    """How the values of one annotation are written."""

    is_list = False
    """Whether a flag may repeat, and a variable separates values by spaces."""

    def __init__(self, annotation: Any) -> None:
        self._type, notes = unwrapped(annotation)
        forms = [note for note in notes if isinstance(note, Form)]
        self._form = forms[-1] if forms else None
        metas = [note for note in notes if isinstance(note, msgspec.Meta)]
        self._bounded: Any = Annotated[self._type, *metas] if metas else None
        self._low, self._high = (
            next((bound for meta in metas if (bound := getattr(meta, name)) is not None), None)
            for name in ("ge", "le")
        )

    @property
    def item(self) -> Kind:
        """The kind of one value."""
        return self

    @property
    def choices(self) -> tuple[str, ...]:
        """All values, when they are few."""
        return get_args(self._type) if get_origin(self._type) is Literal else ()

    @property
    def metavar(self) -> str:
        """What stands for a value in help texts."""
        if self._form is not None:
            return self._form.metavar
        return "|".join(self.choices) or {bool: "true|false", int: "N"}.get(self._type, "TEXT")

    @property
    def is_secret(self) -> bool:
        """Whether values are never shown."""
        return self._form is not None and self._form.is_secret

    def show(self, value: Any) -> str:
        """`value` as a person, or a flag, would write it; nothing for None."""
        if value is None:
            return ""
        if self._form is not None:
            return self._form.show(value)
        return str(value).lower() if self._type is bool else str(value)

    def from_text(self, text: str, key: str) -> Any:
        """The value that a flag or a variable holds. Raises SettingError."""
        if self._type is bool:
            text = {"yes": "true", "no": "false"}.get(text.lower(), text)
        return self.read(text, key, strict=False)

    def read(self, value: Any, key: str, *, strict: bool = True) -> Any:
        """The value that a TOML file holds; not `strict`: that a text holds. Raises SettingError."""
        if isinstance(value, date) and self._form is not None:
            value = value.isoformat()
        if not isinstance(value, str) and (self._form is not None or self._type not in (int, bool)):
            raise SettingError(key, f"{value!r} is not a text in quotes")
        try:
            plain = self._form.read(value) if self._form is not None else value
            if self._form is not None and self._bounded is None:
                return plain
            return msgspec.convert(plain, self._bounded or self._type, strict=strict)
        except msgspec.ValidationError:
            raise SettingError(key, self._complaint(value)) from None
        except ValueError as error:
            raise SettingError(key, str(error)) from None

    def _complaint(self, value: Any) -> str:
        if value == "":
            return "is empty"
        if self._form is not None:
            return f"{value!r} is not between {self.show(self._low)} and {self.show(self._high)}"
        if self.choices:
            return f"{value!r} is not one of {', '.join(self.choices)}"
        if self._type is bool:
            return f"{value!r} is not true or false"
        bounds = f"of at least {self._low}" if self._high is None else f"from {self._low} to {self._high}"
        return f"{value!r} is not a whole number {bounds}"


class ListKind(Kind):
    """A list, whose items all have one kind. A single value is a list, too."""

    is_list = True

    def __init__(self, annotation: Any) -> None:
        super().__init__(annotation)
        self._item = Kind(get_args(self._type)[0])

    @property
    def item(self) -> Kind:
        """The kind of one item."""
        return self._item

    @property
    def metavar(self) -> str:
        """As that of an item."""
        return self._item.metavar

    def show(self, value: Any) -> str:
        """The items, separated by spaces."""
        return " ".join(map(self._item.show, value))

    def from_text(self, text: str, key: str) -> Any:
        """The items that a variable holds. Raises SettingError."""
        return self.read(text.split(), key)

    def read(self, value: Any, key: str, *, strict: bool = True) -> Any:
        """The items that a TOML file holds. Raises SettingError."""
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
            raise SettingError(key, f"{value!r} is not a text in quotes or a list of them")
        return get_origin(self._type)(self._item.read(item, key, strict=strict) for item in items)


class TableKind(Kind):
    """A table whose keys the operator chooses; its values all have one kind."""

    def read(self, value: Any, key: str, *, strict: bool = True) -> Any:
        """What a TOML file holds. Raises SettingError."""
        if not isinstance(value, dict):
            raise SettingError(key, f"{value!r} is not a table of texts")
        item = Kind(get_args(self._type)[1])
        return {name: item.read(one, f"{key}.{name}", strict=strict) for name, one in value.items()}


def kind_of(annotation: Any) -> Kind:
    """How the values of a field with this annotation are written."""
    origin = get_origin(unwrapped(annotation)[0])
    return (ListKind if origin in (tuple, frozenset) else TableKind if origin is dict else Kind)(annotation)


def unwrapped(annotation: Any) -> tuple[Any, list[Any]]:
    """The type in an annotation, without None, and all notes of `Annotated` on it, the innermost first."""
    notes: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            notes = [*more, *notes]
        elif get_origin(annotation) in (Union, UnionType) and type(None) in get_args(annotation):
            annotation = next(option for option in get_args(annotation) if option is not type(None))
        else:
            return annotation, notes


# --- lengths of time, and instants

UNITS: Final = {"d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS, "s": SECOND_MS, "ms": 1}


def _span(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})(ms|[smhd])", text)
    if match is None:
        raise ValueError(f"{text!r} is not a length of time, such as 250ms, 45s, 30m, 12h or 7d")
    return int(match[1]) * UNITS[match[2]]


def _show_span(ms: int) -> str:
    if not ms:
        return "0s"
    return next(f"{ms // size}{unit}" for unit, size in UNITS.items() if ms % size == 0)


Span = Annotated[int, Form("SPAN", _span, _show_span)]
"""A length of time, in ms."""

Instant = Annotated[int, Form("INSTANT", parse_instant, format_instant)]
"""UTC epoch ms."""

# --- places


def _path(text: str) -> Path:
    if not text:
        raise ValueError("is empty")
    if "\0" in text:
        raise ValueError(f"{text!r} is not a path")
    return Path(text)


def _host_port(text: str) -> str:
    split_host_port(text)
    return text


def _readable(text: str) -> Path:
    path = _path(text)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _http_url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/\S*)?", text):
        raise ValueError(f"{text!r} is not a URL that begins with http:// or https://")
    return text


def _fence_place(text: str) -> str:
    place = urlsplit(text)
    if place.scheme == "s3":
        unknown = sorted(dict(parse_qsl(place.query)).keys() - {"endpoint", "region"})
        if not place.netloc or not place.path.strip("/") or unknown:
            raise ValueError(f"{text!r} is not s3://BUCKET/KEY, with endpoint=URL and region=NAME behind a ?")
    elif not text.removeprefix("exec:").startswith("/"):
        raise ValueError(f"{text!r} is not one of /PATH, s3://BUCKET/KEY and exec:/PATH")
    return text


File = Annotated[Path, Form("FILE", _path)]
Directory = Annotated[Path, Form("DIR", _path)]

ReadableFile = Annotated[Path, Form("FILE", _readable)]
"""A file that can be read when the setting is."""

Address = Annotated[str, Form("ADDR")]

HostPort = Annotated[str, Form("ADDR", _host_port)]
"""An address of TCP alone."""
"""Where to listen."""

FencePlace = Annotated[str, Form("PLACE", _fence_place)]
"""Where a lease is."""

HttpUrl = Annotated[str, Form("URL", _http_url)]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network such as 10.0.0.0/8: {error}") from None


NetworkText = Annotated[Network, Form("NETWORK", _network)]

# --- secrets

SecretText = Annotated[str, Form("TEXT", show=lambda _: "(secret)", is_secret=True)]


class SecretError(ValueError):
    """A secret is not where it should be; the message says where that is."""


class Secret(NamedTuple):
    """A secret in a file or an environment variable. It is read at each use, so that it may change."""

    file: Path | None = None
    variable: str = ""

    def read(self) -> str:
        """The secret, without white space around it. Raises SecretError when there is none."""
        if self.file is None:
            value, place = os.environ.get(self.variable, ""), f"the variable {self.variable}"
        else:
            place = str(self.file)
            try:
                value = self.file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                problem = getattr(error, "strerror", None) or "it is not UTF-8"
                raise SecretError(f"{place} cannot be read: {problem}") from None
        if not value.strip():
            raise SecretError(f"{place} is empty or not there")
        return value.strip()


def _present(secret: Secret) -> Secret:
    secret.read()
    return secret


SecretFile = Annotated[Secret, Form("FILE", lambda text: _present(Secret(file=_path(text))))]
SecretVariable = Annotated[Secret, Form("NAME", lambda text: _present(Secret(variable=text)))]

# --- words of the domain


def _event_type(text: str) -> EventType:
    try:
        return EventType[text]
    except KeyError:
        raise ValueError(f"{text!r} is not one of {', '.join(EventType.__members__)}") from None


def _clock_name(text: str) -> str:
    if not CLOCK_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a clock, such as next-reply")
    return text


ClockName = Annotated[str, Form("NAME", _clock_name)]

EventTypeName = Annotated[EventType, Form("TYPE", _event_type, lambda value: value.name)]
