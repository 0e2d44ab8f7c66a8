"""`slad serve`: the daemon."""

from __future__ import annotations

import gc
import sys
from typing import Final

import click
import uvloop

from slad.cli.exits import EXIT_CANNOT_START, CommandError
from slad.cli.help import example
from slad.cli.settings import configured
from slad.config.addresses import AddressError
from slad.config.reader import Configuration
from slad.daemon import logs
from slad.daemon.certificates import CertificateError
from slad.daemon.daemon import serve
from slad.daemon.fence.lease import FenceError
from slad.delivery.sinks.kinds import check_sinks
from slad.storage.lock import DatabaseError
from slad.temporal.passthrough.lifecycle import PassThroughError

COLLECTED_AFTER: Final = (5_000, 10, 10)
"""What the garbage collector lets gather, by generation, before it looks for cycles; Python: 700, 10, 10."""

SWITCH_S: Final = 0.000_2
"""How long a thread may keep the interpreter from another: from the event loop, with its timers, or from the
thread that writes, which waits for it at each statement. At 1 ms streams are a twentieth slower.
Python: 5 ms."""


@click.command("serve", epilog=example("slad serve --config /etc/slad/slad.toml --data /var/lib/slad"))
@configured
def serve_command(configuration: Configuration) -> None:
    """Run the daemon until SIGTERM.

    Exit code 0 after a clean stop, 2 when the configuration is wrong, 3 when an address, a certificate, the
    data directory or Temporal's client cannot be used.
    """
    settings = configuration.settings(check_sinks)
    logs.set_up(settings.log.format, settings.log.level)
    try:
        _collect_seldom()
        sys.setswitchinterval(SWITCH_S)
        # uvloop saves 11 to 16 % of the CPU of a call (docs/decisions.md).
        uvloop.run(serve(settings, lambda: configuration.reloaded().settings(check_sinks)))
    except (AddressError, CertificateError, DatabaseError, FenceError, PassThroughError) as error:
        raise CommandError(str(error), EXIT_CANNOT_START) from error


def _collect_seldom() -> None:
    """Calls leave few cycles, and nothing large in them (tests/service/test_leftovers.py).

    What was loaded so far stays to the end, and need not be looked through again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)
