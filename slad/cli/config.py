"""`slad config`: the effective configuration, and where each value comes from."""

from __future__ import annotations

import json
from itertools import groupby

import click

from slad.cli.settings import configured
from slad.daemon.configuration import SETTINGS, Configuration, Setting


@click.group()
def config() -> None:
    """The configuration of `slad serve`; takes the same options, variables and file.

    Exit code 2 when it is wrong.
    """


@config.command("check")
@configured
def check_command(configuration: Configuration) -> None:
    """Say whether the configuration can be used."""
    configuration.settings()
    click.echo(f"ok: {configuration.path}" if configuration.path else "ok: no file, so options and defaults")


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@configured
def show_command(configuration: Configuration, as_json: bool) -> None:
    """Show every setting with its origin, in a form that can serve as the file."""
    configuration.settings()
    if as_json:
        click.echo(json.dumps({s.key: _described(s, configuration) for s in SETTINGS}, indent=2))
        return
    for table, settings in groupby(SETTINGS, lambda setting: setting.key.rpartition(".")[0]):
        if table:
            click.echo(f"\n[{table}]")
        for setting in settings:
            click.echo(_line(setting, configuration))
    for table, named in configuration.tables.items():
        for name in named:
            click.echo(f"\n# [{table}.{name}] is as in {configuration.path}")


def _line(setting: Setting, configuration: Configuration) -> str:
    value, origin = configuration.values[setting.key]
    name = setting.key.rpartition(".")[2]
    if value is None:
        return f"# {name} is not set"
    if setting.secret:
        return f"# {name} is secret  # {origin}"
    return f"{name} = {_toml(setting, value)}  # {origin}"


def _toml(setting: Setting, value: object) -> str:
    if isinstance(value, bool | int) and setting.kind.show(value) == str(value).lower():
        return setting.kind.show(value)
    # JSON's lists and texts are TOML's.
    return json.dumps(value if setting.kind.several else setting.kind.show(value), ensure_ascii=False)


def _described(setting: Setting, configuration: Configuration) -> dict[str, object]:
    value, origin = configuration.values[setting.key]
    return {
        "value": setting.show(value) if value is not None else None,
        "origin": origin,
        "flag": setting.flag,
        "variable": setting.variable,
    }
