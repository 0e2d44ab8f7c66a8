"""`slad temporal-worker`: the worker that runs `slaTicketWorkflow`."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Final

import click

from slad.cli.connection import Daemon, daemon_options
from slad.cli.leaving import leave
from slad.cli.params import EXIT_CANNOT_START, EXIT_UNFORESEEN
from slad.cli.settings import configured_by
from slad.core.errors import Refused
from slad.daemon import logs, systemd
from slad.daemon.configuration import CONNECTION_KEYS, Configuration

KEYS: Final = ("log.format", "log.level", *CONNECTION_KEYS)
"""The settings that the worker shares with the daemon."""


@click.command("temporal-worker")
@configured_by(*KEYS)
@daemon_options
@click.option(
    "--activities-task-queue",
    default="",
    envvar="SLAD_ACTIVITIES_TASK_QUEUE",
    metavar="NAME",
    help="For tickets that AlgaPSA's client starts: call AlgaPSA's activities on this task queue.",
)
@click.option(
    "--max-cached-workflows",
    type=click.IntRange(min=0),
    default=1_000,
    show_default=True,
    envvar="SLAD_MAX_CACHED_WORKFLOWS",
    help="Tickets that are kept in memory; others are read from their history when they wake.",
)
@click.option(
    "--worker-metrics",
    default="",
    envvar="SLAD_WORKER_METRICS",
    metavar="HOST:PORT",
    help="Serve the worker's Prometheus metrics there.",
)
def worker_command(
    configuration: Configuration,
    daemon: Daemon,
    activities_task_queue: str,
    max_cached_workflows: int,
    worker_metrics: str,
) -> None:
    """Keep the clocks of tickets inside Temporal, until SIGTERM.

    Thresholds are reported to the slad daemon at --address. Any number of workers may serve one task queue.

    Exit code 0 after a clean stop, 2 when the configuration is wrong, 3 when Temporal cannot be used.
    """
    logs.set_up(configuration["log.format"], configuration["log.level"])
    try:
        # Only here: who does without Temporal need not have its client.
        from slad.temporal.workflow.worker import WorkerSettings, serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "temporalio":
            raise
        click.echo("slad: Temporal's client is not installed: pip install 'slad[temporal]'", err=True)
        sys.exit(EXIT_CANNOT_START)
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
        click.echo(f"slad: {error.message}", err=True)
        leave(EXIT_CANNOT_START)
    except Exception:
        logging.getLogger(__name__).exception("the worker cannot go on")
        leave(EXIT_UNFORESEEN)
    leave(0)
