"""What protobuf says of JSON that does not fit a message, in slad's words."""

from __future__ import annotations

import difflib
import re
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

_UNKNOWN: Final = re.compile(r'has no field named "([^"]*)" at "\w+\.?([^"]*)"')
_CHAIN: Final = re.compile(r"Failed to parse (\w+) field: ")
_PLACE: Final = re.compile(r" at \w+\.([\w.\[\]]+?)\.*$")

_PLAIN: Final = (
    (re.compile(r"invalid literal for int\(\) with base 10: (.*)"), r"\1 is not a whole number"),
    (re.compile(r"Couldn't parse integer: (.*)"), r"\1 is not a whole number"),
    (
        re.compile(r"(?:Failed to parse timestamp|time data|Timestamp).*"),
        "not an instant, such as 2026-03-02T09:00:00Z",
    ),
    (re.compile(r"Invalid enum value (.*) for enum type .*"), r"'\1' is not one of its values"),
    (re.compile(r"repeated field \w+ must be in \[\] which is (.*)"), r"must be a list, not \1"),
    (re.compile(r"Failed to load JSON: (.*)"), r"not JSON: \1"),
)


class Problem(NamedTuple):
    """A field, by its path, and what is wrong with it."""

    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.field else self.text


def problem(error: Exception, message: Message) -> Problem:
    """What is wrong, from protobuf's error about JSON for such a message, or an error of slad's own."""
    told = " ".join(str(error).split())
    if unknown := _UNKNOWN.search(told):
        name, path = unknown.groups()
        known = [field.name for field in _descriptor(message.DESCRIPTOR, path).fields]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        return Problem(path, f"there is no field {name!r}; {hint}")
    path = ".".join(_CHAIN.findall(told))
    told = _CHAIN.sub("", told)
    if place := _PLACE.search(told):
        told = told[: place.start()]
        path = max(place[1], path, key=lambda path: path.count("."))  # the place has indexes
    told = told.rstrip(". ").replace("slad.v1.", "")
    for pattern, plain in _PLAIN:
        told = pattern.sub(plain, told)
    return Problem(path, told)


def _descriptor(descriptor: Any, path: str) -> Any:
    """The message at a path such as `start.targets[0]`."""
    for part in filter(None, path.split(".")):
        below = descriptor.fields_by_name[part.partition("[")[0]].message_type
        descriptor = below or descriptor
    return descriptor
