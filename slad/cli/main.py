"""The command `slad`."""

from __future__ import annotations

import click

from slad import __version__
from slad.cli.care import backup, doctor, restore
from slad.cli.config import config
from slad.cli.consumers import consumers
from slad.cli.serve import serve_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="slad")
def main() -> None:
    """The SLA clocks of a service desk."""


main.add_command(serve_command)
main.add_command(config)
main.add_command(consumers)
main.add_command(backup)
main.add_command(restore)
main.add_command(doctor)
