"""`slad config`: the effective configuration, and where each value comes from."""

from __future__ import annotations

import json
from itertools import groupby

import click

from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.cli.help import example
from slad.cli.settings import configured
from slad.config.reader import SETTINGS, SINKS, Configuration
from slad.config.tables import Setting
from slad.daemon.certificates import CertificateError, Certificates
from slad.delivery.sinks.kinds import check_sinks


@click.group()
def config() -> None:
    """Check and show the effective configuration, and where each value comes from.

    The commands take the options, variables and file of `slad serve`. Exit code 2 if the configuration is
    wrong, 3 if a certificate cannot be used.
    """


@config.command("check", epilog=example("slad config check --config /etc/slad/slad.toml"))
@configured
def check_command(configuration: Configuration) -> None:
    """Say whether the configuration can be used, and the certificates that it names."""
    tls = configuration.settings(check_sinks).tls
    try:
        if tls.cert is not None:
            Certificates(tls)
    except CertificateError as error:
        raise CommandError(str(error), EXIT_CANNOT_START) from error
    click.echo(f"ok: {configuration.path}" if configuration.path else "ok: no file; options and defaults")


@config.command("show", epilog=example("slad config show --config /etc/slad/slad.toml"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured
def show_command(configuration: Configuration, as_json: bool) -> None:
    """Show every setting and where its value comes from. The output can be used as a configuration file."""
    configuration.settings(check_sinks)
    if as_json:
        click.echo(json.dumps({key: _described(s, configuration) for key, s in SETTINGS.items()}, indent=2))
        return
    for table, settings in groupby(SETTINGS.values(), lambda setting: setting.key.rpartition(".")[0]):
        if table:
            click.echo(f"\n[{table}]")
        for setting in settings:
            click.echo(_line(setting, configuration))
    for name in configuration.sinks:
        click.echo(f"\n# [{SINKS}.{name}] is as in {configuration.path}")


def _line(setting: Setting, configuration: Configuration) -> str:
    value, origin = configuration.values[setting.key]
    name = setting.key.rpartition(".")[2]
    if value is None:
        return f"# {name} is not set"
    if setting.kind.is_secret:
        return f"# {name} is secret  # {origin}"
    return f"{name} = {_toml(setting, value)}  # {origin}"


def _toml(setting: Setting, value: object) -> str:
    shown = setting.kind.show(value)
    if isinstance(value, bool | int) and shown == str(value).lower():
        return shown
    # JSON's lists and texts are TOML's.
    return json.dumps(value if setting.kind.is_list else shown, ensure_ascii=False)


def _described(setting: Setting, configuration: Configuration) -> dict[str, object]:
    value, origin = configuration.values[setting.key]
    return {
        "value": setting.kind.show(value) if value is not None else None,
        "origin": origin,
        "flag": setting.flag,
        "variable": setting.variable,
    }
