"""`slad temporal-worker`: the worker that runs `slaTicketWorkflow`."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import click
from click.exceptions import Exit

from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.exits import EXIT_CANNOT_START, EXIT_UNFORESEEN, CommandError
from slad.cli.help import example
from slad.cli.settings import configured_by
from slad.config.reader import CONNECTION_KEYS, Configuration
from slad.core.errors import Refused
from slad.daemon import logs, systemd

KEYS: Final = ("log.format", "log.level", *CONNECTION_KEYS)
"""The settings that the worker shares with the daemon."""


@click.command(
    "temporal-worker",
    epilog=example("slad temporal-worker --address 127.0.0.1:7523 --temporal-address 127.0.0.1:7233"),
)
@configured_by(*KEYS)
@daemon_options
@click.option(
    "--activities-task-queue",
    default="",
    envvar="SLAD_ACTIVITIES_TASK_QUEUE",
    metavar="NAME",
    help="Call AlgaPSA's activities on this task queue, for tickets that AlgaPSA's client starts.",
)
@click.option(
    "--max-cached-workflows",
    type=click.IntRange(min=0),
    default=1_000,
    show_default=True,
    envvar="SLAD_MAX_CACHED_WORKFLOWS",
    help="How many tickets are kept in memory. The history of any other ticket is read when it wakes.",
)
@click.option(
    "--worker-metrics",
    default="",
    envvar="SLAD_WORKER_METRICS",
    metavar="HOST:PORT",
    help="Serve the Prometheus metrics of the worker at this address.",
)
def worker_command(
    configuration: Configuration,
    daemon: Daemon,
    activities_task_queue: str,
    max_cached_workflows: int,
    worker_metrics: str,
) -> None:
    """Run the clocks of tickets inside Temporal, until SIGTERM.

    The worker reports thresholds to the slad daemon at --address. Several workers may serve one task queue.

    Exit code 0 after a clean stop, 2 if the configuration is wrong, 3 if Temporal cannot be used.
    """
    logs.set_up(configuration["log.format"], configuration["log.level"])
    try:
        # Only here: without Temporal its client need not be installed.
        from slad.temporal.workflow.worker import WorkerSettings, serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "temporalio":
            raise
        raise CommandError(
            "Temporal's client is not installed: pip install 'slad[temporal]'", EXIT_CANNOT_START
        ) from None
    settings = WorkerSettings(
        connection=configuration.temporal().connection,
        activities_task_queue=activities_task_queue,
        max_cached_workflows=max_cached_workflows,
        metrics=worker_metrics,
        log_level=configuration["log.level"],
    )

    async def run() -> None:
        async with daemon.open_aio_channel() as channel:
            await serve(settings, channel, daemon.metadata, lambda: systemd.notify("READY=1"))

    try:
        asyncio.run(run())
    except Refused as error:
        raise CommandError(error.message, EXIT_CANNOT_START) from error
    except Exception:
        logging.getLogger(__name__).exception("the worker cannot continue")
        raise Exit(EXIT_UNFORESEEN) from None
