"""`slad install-service`: slad under systemd, from wherever pip or pipx has put it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Final

import click

from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.cli.help import example

GROUP: Final = "slad-clients"
"""The group whose members may call slad over its Unix socket."""

UNITS: Final = Path("/etc/systemd/system")
SYSUSERS: Final = Path("/etc/sysusers.d/slad.conf")
CONFIGURATIONS: Final = Path("/etc/slad")

HOMES: Final = ("/home", "/root", "/run/user")
"""The directories that ProtectHome= hides from a service."""

CONFIGURATION: Final = """\
# Configure slad here; `slad config show --config {path}` shows every setting.
listen = ["unix:/run/{name}/slad.sock"]

[log]
format = "json"
"""


@click.command("install-service", epilog=example("slad install-service --print", "slad install-service"))
@click.option("--template", is_flag=True, help="Write slad@.service, for several daemons: slad@NAME.")
@click.option(
    "--instance", metavar="NAME", help="With --template: also write the configuration of slad@NAME."
)
@click.option("--print", "only_print", is_flag=True, help="Print the unit and change nothing.")
def install_service(template: bool, instance: str | None, only_print: bool) -> None:
    """Install slad as a systemd service. Run this as root.

    The command writes the unit, a timer for daily backups, the group and, if there is none, a configuration.
    `systemctl enable --now slad slad-backup.timer` starts both. Exit code 3 if they cannot be installed.
    """
    if instance is not None and not (template and re.fullmatch(r"[A-Za-z0-9_.-]+", instance)):
        raise click.UsageError("--instance NAME needs --template; NAME may have letters, digits, and _ . -")
    at = "@" if template else ""
    file = f"slad{at}.service"
    name = "slad" if not template else f"slad-{instance}" if instance else None
    command = _command()
    unit = _unit(file, command)
    if only_print:
        click.echo(unit, nl=False)
        return
    _check(command)
    try:
        _write(UNITS / file, unit)
        for backup in (f"slad-backup{at}.service", f"slad-backup{at}.timer"):
            _write(UNITS / backup, _unit(backup, command))
        _write(SYSUSERS, f"g {GROUP} -\n")
        if name is not None:
            config = CONFIGURATIONS / f"{instance or 'slad'}.toml"
            if not config.exists():
                _write(config, CONFIGURATION.format(name=name, path=config))
        _run("systemd-sysusers", str(SYSUSERS))
        _run("systemctl", "daemon-reload")
    except OSError as error:
        raise _failure(f"{error.filename}: {error.strerror}; run this as root") from error
    which = f"@{instance or 'NAME'}" if template else ""
    click.echo(f"next: systemctl enable --now slad{which} slad-backup{which}.timer")


def _command() -> Path:
    """The absolute path of the command: the one in its environment, not a link that pipx made to it."""
    installed = Path(sys.executable).with_name("slad")
    command = installed if installed.exists() else Path(sys.argv[0]).absolute()
    if not re.fullmatch(r"[\w/.+@-]+", str(command)):
        raise _failure(
            f"{command} has a character that a unit does not take as it stands; install slad elsewhere"
        )
    return command


def _unit(file: str, command: Path) -> str:
    unit = resources.files("slad.daemon").joinpath("units", file).read_text("utf-8")
    unit = re.sub(r"^ExecStart=\S+", f"ExecStart={command}", unit, flags=re.MULTILINE)
    if any(path.is_relative_to(home) for path in _needed(command) for home in HOMES):
        unit = unit.replace("ProtectHome=yes", "ProtectHome=read-only")
    return unit


def _needed(command: Path) -> set[Path]:
    """The files that the service must be able to read."""
    return {
        command,
        command.resolve(),
        Path(sys.prefix),
        Path(sys.executable).resolve(),
        Path(__file__).resolve(),
    }


def _check(command: Path) -> None:
    """The service runs as another user, who must be able to read slad and its Python."""
    for needed in sorted(_needed(command)):
        for folder in needed.parents:
            if not folder.stat().st_mode & 0o001:
                raise _failure(
                    f"{needed} is in {folder}, which other users cannot enter, but the service "
                    "runs as another user; install slad elsewhere, for example: python3 -m venv /opt/slad && "
                    "/opt/slad/bin/pip install slad"
                )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    incoming = path.with_name(f".{path.name}.incoming")
    incoming.write_text(text, "utf-8")
    incoming.chmod(0o644)
    os.replace(incoming, path)
    click.echo(f"wrote {path}")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    except FileNotFoundError:
        raise _failure(f"{command[0]} is missing: does this machine use systemd?") from None
    if done.returncode:
        raise _failure(f"`{' '.join(command)}` failed: {' '.join(done.stderr.split())}")


def _failure(message: str) -> CommandError:
    return CommandError(message, EXIT_CANNOT_START)
