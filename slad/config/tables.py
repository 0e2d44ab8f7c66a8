"""Tables of settings: classes whose fields are the settings, and how an object of such a class is filled."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from slad.config.kinds import Kind, SettingError, kind_of, unwrapped

REQUIRED: Final = msgspec.NODEFAULT
"""The default of a setting that must be given."""


class Table(msgspec.Struct, frozen=True, rename=lambda name: name.removesuffix("_ms")):
    """Settings that belong together. The key of a length of time does not say that it is in ms.

    When fields do not go together, `__post_init__` raises SettingError with the name of one of them.
    """


T = TypeVar("T", bound=Table)


class At(NamedTuple):
    """A note on a field: its key, where that is not its name in the tables around it."""

    key: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that slad can be told."""

    key: str
    """Its place in the TOML file: `table.key`, or `key` at the top."""
    field: str
    """The field that it fills."""
    kind: Kind
    default: Any
    """None: not set; or REQUIRED."""
    help: str

    @property
    def parameter(self) -> str:
        """`table_key`, as a name in Python."""
        return self.key.replace(".", "_")

    @property
    def flag(self) -> str:
        """`--table-key`."""
        return f"--{self.parameter.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """`SLAD_TABLE_KEY`."""
        return f"SLAD_{self.parameter.upper()}"


def settings_of(table: type[Table], prefix: str = "") -> Iterator[Setting]:
    """The settings of a table and of the tables in it, in the order of their fields."""
    for field, key, below in _fields(table, prefix):
        if below is not None:
            yield from settings_of(below, f"{key}.")
            continue
        annotation, notes = unwrapped(field.type)
        if get_origin(annotation) is dict and issubclass(get_args(annotation)[1], Table):
            continue  # tables that the operator names, each filled by itself
        told = next((note for note in notes if isinstance(note, str)), "")
        default = field.default if field.default_factory is REQUIRED else field.default_factory()
        yield Setting(key, field.name, kind_of(field.type), default, told)


def filled(table: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """A table with `values`, by key; the rest are defaults. Raises SettingError."""
    found = {}
    for field, key, below in _fields(table, prefix):
        if below is not None:
            found[field.name] = filled(below, values, f"{key}.")
        elif key in values:
            found[field.name] = values[key]
    try:
        return table(**found)
    except SettingError as error:
        raise SettingError(f"{prefix}{error.key}", error.problem) from None


def read(table: type[T], content: Mapping[str, Any], path: str) -> T:
    """The table that a TOML file holds at `path`. Raises SettingError."""
    settings = {setting.key: setting for setting in settings_of(table, f"{path}.")}
    values = {}
    for name, value in content.items():
        key = f"{path}.{name}"
        if key not in settings:
            names = sorted(known.removeprefix(f"{path}.") for known in settings)
            near = did_you_mean(name, names)
            raise SettingError(key, f"there is no such setting; {near or 'there are ' + ', '.join(names)}")
        values[key] = settings[key].kind.read(value, key)
    for key, setting in settings.items():
        if setting.default is REQUIRED and key not in values:
            raise SettingError(key, "is missing")
    return filled(table, values, f"{path}.")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean …?`, if any of `known` is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _fields(table: type[Table], prefix: str) -> Iterator[tuple[FieldInfo, str, type[Table] | None]]:
    """(field, key, the class of a table that it is)."""
    for field in msgspec.structs.fields(table):
        annotation, notes = unwrapped(field.type)
        key = next((note.key for note in notes if isinstance(note, At)), f"{prefix}{field.encode_name}")
        is_table = isinstance(annotation, type) and issubclass(annotation, Table)
        yield field, key, annotation if is_table else None
