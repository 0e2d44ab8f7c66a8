"""Where the value of a setting comes from: a flag goes before its variable, that before the file, that before
the default."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from slad.config.kinds import SettingError
from slad.config.settings import ConnectionSettings, FenceSettings, Settings, TemporalSettings
from slad.config.sinks import read_sinks
from slad.config.tables import Setting, did_you_mean, filled, settings_of

FLAG, ENVIRONMENT, DEFAULT = "flag", "environment", "default"
"""Where a value may come from, besides a file."""

SETTINGS: Final[Mapping[str, Setting]] = {
    # Those outside of any table first: in TOML they cannot stand elsewhere.
    setting.key: setting
    for setting in sorted(settings_of(Settings), key=lambda setting: "." in setting.key)
}
"""All of them but those of sinks, by key, in the order in which they are documented."""

TABLES: Final = sorted({key.partition(".")[0] for key in SETTINGS if "." in key})
"""The tables that settings are in."""

CONNECTION_KEYS: Final = tuple(setting.key for setting in settings_of(ConnectionSettings, "temporal."))
"""Where Temporal is: what the daemon, its worker and `slad doctor` share."""

SINKS: Final = "sinks"
"""The table whose keys are names that the operator chooses."""


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message says what, where, and what to do."""


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
    sinks: Mapping[str, Any]
    """What the file holds in the table of sinks."""

    def __getitem__(self, key: str) -> Any:
        return self.values[key].value

    def reloaded(self) -> Configuration:
        """The same with the file read again. Raises ConfigurationError."""
        return configure(self.given, self.path)

    def settings(self, *checks: Callable[[Settings], object]) -> Settings:
        """The settings as the daemon takes them, when all `checks` take them too.

        Raises ConfigurationError, also for a SettingError of a check.
        """
        try:
            settings = filled(Settings, self._plain() | {SINKS: read_sinks(self.sinks)})
            for check in checks:
                check(settings)
        except SettingError as error:
            raise self._wrong(error) from None
        return settings

    def temporal(self) -> TemporalSettings:
        """The part about Temporal, which the worker takes too. Raises ConfigurationError."""
        try:
            return filled(TemporalSettings, self._plain(), "temporal.")
        except SettingError as error:
            raise self._wrong(error) from None

    def fence(self) -> FenceSettings:
        """The part about the fence, which `slad adopt` takes too."""
        return filled(FenceSettings, self._plain(), "fence.")

    def _plain(self) -> dict[str, Any]:
        return {key: value for key, (value, _) in self.values.items()}

    def _wrong(self, error: SettingError) -> ConfigurationError:
        value = self.values.get(error.key)
        is_in_file = value is None or value.origin == str(self.path)
        return ConfigurationError(f"{self.path}: {error}" if is_in_file else str(error))


def configure(given: Mapping[str, Value], path: Path | None = None) -> Configuration:
    """The configuration that flags and environment (`given`, by key) and the TOML file at `path` make.

    Raises ConfigurationError when the file cannot be read, holds a key that is unknown or a wrong value.
    """
    content = _content(path) if path is not None else {}
    sinks = content.pop(SINKS, {})
    try:
        in_file = {key: Value(_read(key, value), str(path)) for key, value in _flat(content)}
    except SettingError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    values = {
        key: given.get(key) or in_file.get(key) or Value(setting.default, DEFAULT)
        for key, setting in SETTINGS.items()
    }
    return Configuration(values, given, path, sinks)


def _content(path: Path) -> dict[str, Any]:
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
        if isinstance(value, dict) and key not in SETTINGS and (value or key in TABLES):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _read(key: str, value: Any) -> Any:
    if key in SETTINGS:
        return SETTINGS[key].kind.read(value, key)
    if key in TABLES:
        raise SettingError(key, f"is a table: [{key}]")
    near = did_you_mean(key, [*SETTINGS, *TABLES, SINKS]) or "`slad config show` lists all"
    raise SettingError(key, f"there is no such setting; {near}")
