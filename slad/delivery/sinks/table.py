"""Reading a table of the configuration file, with errors that name the key."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from slad.core.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

_UNITS: Final = {"ms": 1, "s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
REQUIRED: Final = "\0"
"""Stands for the default of a text that must be given."""


class SinkSettingsError(ValueError):
    """A sink that is configured wrongly; the message begins with the key."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


class Secret:
    """A secret in a file or an environment variable. A file is read at each use, so it may change."""

    def __init__(self, key: str, *, file: Path | None = None, variable: str = "") -> None:
        self.key = key
        self._file = file
        self._variable = variable

    def read(self) -> str:
        """The secret, without white space around it. Raises SinkSettingsError when there is none."""
        if self._file is None:
            value, place = os.environ.get(self._variable, ""), f"the variable {self._variable}"
        else:
            place = str(self._file)
            try:
                value = self._file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                problem = getattr(error, "strerror", None) or "it is not UTF-8"
                raise SinkSettingsError(self.key, f"{place} cannot be read: {problem}") from None
        if not value.strip():
            raise SinkSettingsError(self.key, f"{place} is empty or not there")
        return value.strip()


class Table:
    """One table. Each method takes a key out, and checks it; `done` objects to what is left."""

    def __init__(self, path: str, content: object) -> None:
        if not isinstance(content, Mapping):
            raise SinkSettingsError(path, f"is a table: [{path}]")
        self.path = path
        self._left: dict[str, Any] = dict(content)
        self._known: list[str] = []

    def wrong(self, key: str, problem: str) -> SinkSettingsError:
        """The error to raise about a key."""
        return SinkSettingsError(f"{self.path}.{key}", problem)

    def has(self, key: str) -> bool:
        """Whether `key` is there, and not yet taken out."""
        return key in self._left

    def text(self, key: str, default: str = REQUIRED) -> str:
        """A text that is not empty, unless its default is."""
        value = self._take(key, default, str, "a text in quotes")
        if value == REQUIRED:
            raise self.wrong(key, "is missing")
        if not value and default:
            raise self.wrong(key, "is empty")
        return str(value)

    def choice(self, key: str, options: Iterable[str], default: str = REQUIRED) -> str:
        """One of a few words."""
        value, known = self.text(key, default), list(options)
        if value not in known:
            raise self.wrong(key, f"{value!r} is not one of {', '.join(known)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        return bool(self._take(key, default, bool, "true or false"))

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        what = f"a whole number from {low} to {high}"
        value = self._take(key, default, int, what)
        if isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"{value!r} is not {what}")
        return int(value)

    def span_ms(self, key: str, default: str, low_ms: int, high_ms: int) -> int:
        """A length of time such as 250ms, 45s, 30m, 12h or 7d, in ms."""
        value = self.text(key, default)
        match = re.fullmatch(r"([0-9]{1,9})(ms|[smhd])", value)
        if match is None:
            raise self.wrong(key, f"{value!r} is not a length of time, such as 250ms, 45s or 30m")
        span = int(match[1]) * _UNITS[match[2]]
        if not low_ms <= span <= high_ms:
            raise self.wrong(key, f"{value!r} is not between {low_ms} ms and {high_ms} ms")
        return span

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one text; empty when it is not there."""
        what = "a text in quotes or a list of them"
        value = self._take(key, [], (str, list), what)
        items = [value] if isinstance(value, str) else value
        if not all(isinstance(item, str) and item for item in items):
            raise self.wrong(key, f"{value!r} is not {what}")
        return tuple(items)

    def mapping(self, key: str, default: Mapping[str, str]) -> dict[str, str]:
        """A table of texts."""
        value = self._take(key, default, Mapping, "a table of texts")
        for name, item in value.items():
            if not isinstance(item, str):
                raise SinkSettingsError(f"{self.path}.{key}.{name}", f"{item!r} is not a text in quotes")
        return dict(value)

    def file(self, key: str) -> str | None:
        """The path of a file that can be read."""
        if not self.has(key):
            self._known.append(key)
            return None
        path = self.text(key)
        self._check_readable(key, path)
        return path

    def secrets(self, name: str) -> tuple[Secret, ...]:
        """What `NAME_file` and `NAME_env` lead to, each one place or a list of them."""
        found = []
        for key, is_file in ((f"{name}_file", True), (f"{name}_env", False)):
            for place in self.texts(key):
                path = f"{self.path}.{key}"
                secret = Secret(path, file=Path(place)) if is_file else Secret(path, variable=place)
                secret.read()
                found.append(secret)
        return tuple(found)

    def secret(self, name: str) -> Secret | None:
        """What `NAME_file` or `NAME_env` leads to; None when neither is there."""
        found = self.secrets(name)
        if len(found) > 1:
            raise self.wrong(f"{name}_file", "only one secret is possible here")
        return found[0] if found else None

    def done(self) -> None:
        """Raises SinkSettingsError for a key that nobody asked for."""
        for key in self._left:
            near = difflib.get_close_matches(key, self._known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self._known))}"
            raise self.wrong(key, f"there is no such setting; {hint}")

    def _take(self, key: str, default: object, kind: type | tuple[type, ...], what: str) -> Any:
        self._known.append(key)
        value = self._left.pop(key, default)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(key, f"{value!r} is not {what}")
        return value

    def _check_readable(self, key: str, path: str) -> None:
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            raise self.wrong(key, f"{path} cannot be read: {error.strerror}") from None
