"""The daemon's settings as options of a command."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from slad.cli.exits import CommandError
from slad.config.kinds import Kind, SettingError
from slad.config.reader import ENVIRONMENT, FLAG, SETTINGS, ConfigurationError, Value, configure
from slad.config.tables import Setting

Command = TypeVar("Command", bound=Callable[..., Any])


class KindType(click.ParamType[Any]):
    """A kind of setting, for click."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = kind.metavar.lower()

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parses `value`."""
        if not isinstance(value, str):
            return value
        try:
            return self.kind.from_text(value, "")
        except SettingError as error:
            self.fail(error.problem, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """The words it may be, if they are few."""
        fitting = (word for word in self.kind.choices if word.startswith(incomplete))
        return [click.shell_completion.CompletionItem(word) for word in fitting]


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --config and an option for every setting; `command` gets the `Configuration` first.

    A configuration that cannot be used ends it with one line and exit code 2.
    """
    return configured_by(*SETTINGS)(command)


def configured_by(*keys: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `configured`, with options for the settings of these keys only."""
    # A secret has no flag: everybody can read the command line of a process.
    options = [SETTINGS[key] for key in keys if not SETTINGS[key].kind.is_secret]
    return lambda command: _configured(command, options)


def _configured(command: Callable[..., Any], options: Sequence[Setting]) -> Callable[..., Any]:
    @wraps(command)
    @click.pass_context
    def with_configuration(context: click.Context, /, *, config: Path | None, **others: Any) -> Any:
        given = {
            key: Value(os.environ[setting.variable], ENVIRONMENT)
            for key, setting in SETTINGS.items()
            if setting.kind.is_secret and os.environ.get(setting.variable)
        }
        for setting in options:
            value = others.pop(setting.parameter)
            source = context.get_parameter_source(setting.parameter)
            if source is ParameterSource.COMMANDLINE:
                given[setting.key] = Value(value, FLAG)
            elif source is ParameterSource.ENVIRONMENT:
                given[setting.key] = Value(value, ENVIRONMENT)
        with configuration_errors():
            return command(configure(given, config), **others)

    for setting in reversed(options):
        with_configuration = _option(setting)(with_configuration)
    return config_option(with_configuration)


@contextmanager
def configuration_errors() -> Iterator[None]:
    """A ConfigurationError inside ends the command with one line and exit code 2."""
    try:
        yield
    except ConfigurationError as error:
        raise CommandError(str(error)) from None


def config_option(command: Command) -> Command:
    """Adds --config."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="SLAD_CONFIG",
        metavar="FILE",
        help="A TOML file with settings. Flags and variables override it.",
    )(command)


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --data and --config; `command` gets the data directory as `data`, from whichever says it first."""

    @wraps(command)
    def with_data(*, data: Path | None, config: Path | None, **others: Any) -> Any:
        if data is None:
            with configuration_errors():
                data = configure({}, config)["data"]
        return command(data=data, **others)

    return _option(SETTINGS["data"])(config_option(with_data))


def _option(setting: Setting) -> Callable[[Command], Command]:
    default = setting.kind.show(setting.default)
    return click.option(
        setting.flag,
        setting.parameter,
        type=KindType(setting.kind.item),
        multiple=setting.kind.is_list,
        default=None,
        envvar=setting.variable,
        metavar=setting.kind.metavar,
        help=f"{setting.help}  [default: {default}]" if default else setting.help,
    )
