"""`slad backup`, `slad restore`, `slad doctor`: taking care of a data directory."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
from click.exceptions import Exit

from slad.cli.exits import EXIT_CANNOT_START, EXIT_UNSOUND, CommandError
from slad.cli.help import example
from slad.cli.output import note
from slad.cli.settings import configured_by, data_option
from slad.config.reader import CONNECTION_KEYS, Configuration
from slad.core.instants import format_instant
from slad.daemon import certificates
from slad.engine.doctor import CheckResult, Severity, examine, examine_files, expiry
from slad.engine.replica_checks import LITESTREAM_CONFIGURATIONS, examine_litestream, examine_replication
from slad.engine.time_source import WallClock
from slad.storage import backup as backups
from slad.storage.database import DATABASE_NAME, DataDirectory, explaining
from slad.storage.lock import DatabaseError
from slad.storage.quarantine import set_aside
from slad.storage.store import Store

_MARKS = {Severity.OK: "ok  ", Severity.WARNING: "WARN", Severity.FAILURE: "FAIL"}


@click.command(
    epilog=example(
        "slad backup /backup/slad.db --data /var/lib/slad",
        "slad backup --keep 14 /backup --data /var/lib/slad",
        "slad backup --verify /backup/slad.db",
    )
)
@data_option
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="FILE is a folder: write a new file in it, and keep the newest N of such files.",
)
@click.option("--verify", is_flag=True, help="Check the backup FILE instead, and change nothing.")
@click.argument("file", type=click.Path(path_type=Path))
def backup(data: Path, file: Path, keep: int | None, verify: bool) -> None:
    """Copy the database to FILE. slad may be running.

    The copy holds the database of one moment, and is checked. It never overwrites a file. Exit code 3 if it
    cannot be made, 5 if --verify finds that FILE is not a sound backup.
    """
    if verify:
        _verify(file)
        return
    with click.progressbar(length=1, label="copying", file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        removed: list[Path] = []
        try:
            if keep is None:
                backups.back_up(data, file, progress)
            else:
                file, removed = backups.back_up_into(file, data, keep, time.time(), progress)
            with backups.inspect(data) as store:
                is_empty = store.is_empty()
        except DatabaseError as error:
            raise _failed(error) from error
    click.echo(f"backed up {data / DATABASE_NAME} to {file}")
    for old in removed:
        click.echo(f"removed {old}")
    if is_empty:
        note(f"the backup holds no tickets; is {data} the directory that slad uses?")


def _verify(file: Path) -> None:
    try:
        count = backups.verify(file)
    except DatabaseError as error:
        raise CommandError(str(error), EXIT_UNSOUND) from error
    click.echo(f"ok: {file} is a sound backup with {count} tickets")


@click.command(epilog=example("slad restore /backup/slad.db --data /var/lib/slad"))
@data_option
@click.option("--replace", is_flag=True, help="Move the present database aside.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def restore(data: Path, replace: bool, file: Path) -> None:
    """Restore the backup FILE. slad must not be running.

    Thresholds that fell due since the backup fire at the next start, with the event ids that they had the
    first time. Exit code 3 if FILE cannot be restored; then nothing has changed.
    """
    try:
        former = backups.restore(file, data, replace=replace)
    except DatabaseError as error:
        raise _failed(error) from error
    if former is not None:
        click.echo(f"the former database is now {former}")
    click.echo(f"restored {file} to {data / DATABASE_NAME}")


@click.command(epilog=example("slad doctor --data /var/lib/slad"))
@configured_by("data", "storage.checkpoints", "engine", "tls.cert", "tls.key", *CONNECTION_KEYS)
@click.option(
    "--litestream-config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Litestream's configuration. By default /etc/slad/litestream.yml or /etc/litestream.yml.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each check as a JSON object.")
@click.option(
    "--quarantine",
    is_flag=True,
    help="Set aside what cannot be read. slad must not be running; back up first.",
)
def doctor(
    configuration: Configuration, litestream_config: Path | None, as_json: bool, quarantine: bool
) -> None:
    """Check that slad is healthy: the database, its timers, the clock and the consumers.

    If slad uses Temporal, the command also checks the connection and the workers. Exit code 0 if it finds
    nothing or only warnings, 5 if something is wrong.
    """
    try:
        if quarantine:
            _set_aside(configuration["data"])
        is_sound = True
        for result in _checks(configuration, litestream_config):
            is_sound &= _report(result, as_json)
    except DatabaseError as error:
        raise _failed(error) from error
    if not is_sound:
        raise Exit(EXIT_UNSOUND)


def _set_aside(data: Path) -> None:
    """Moves what cannot be read out of the way, and says what it was. Raises DatabaseError."""
    backups.must_be_there(data / DATABASE_NAME)
    # As a guest: under systemd slad's user is gone while slad is stopped.
    directory = DataDirectory(data, as_guest=True)
    try:
        with explaining(directory.database, "changed"):
            writer = directory.writer()
            errors = list(Store(writer).unreadable_values())
            set_aside(writer, errors, WallClock().now())
            writer.close()
    finally:
        directory.close()
    for error in errors:
        click.echo(f"set aside: {error.what} ({error.why})", err=True)


def _checks(configuration: Configuration, litestream: Path | None) -> Iterator[CheckResult]:
    database = configuration["data"] / DATABASE_NAME
    is_external = configuration["storage.checkpoints"] == "external"
    with backups.inspect(configuration["data"]) as store:
        yield from examine(store, WallClock().now())
        yield from examine_files(database)
        yield from examine_replication(database, is_external=is_external, now=WallClock().now())
        uses_temporal = store.temporal().is_in_use() or configuration["engine"] != "local"
    if is_external:
        litestream = litestream or next((path for path in LITESTREAM_CONFIGURATIONS if path.exists()), None)
        if litestream is not None:
            yield from examine_litestream(litestream, database)
    if configuration["tls.cert"] is not None and configuration["tls.key"] is not None:
        yield from _certificate(configuration["tls.cert"], configuration["tls.key"])
    if uses_temporal:
        yield from _temporal(configuration)


def _certificate(certificate: Path, key: Path) -> Iterator[CheckResult]:
    try:
        ends_at = certificates.examine(certificate, key)
    except certificates.CertificateError as error:
        yield CheckResult(Severity.FAILURE, "certificate", str(error))
        return
    late = expiry(f"the certificate {certificate}", ends_at, WallClock().now())
    yield late or CheckResult(Severity.OK, "certificate", f"good until {format_instant(ends_at)}")


def _report(result: CheckResult, as_json: bool) -> bool:
    """Prints a check as soon as it is made; whether nothing is wrong."""
    severity, check, text = result
    if as_json:
        found = {"verdict": severity.name, "check": check, "text": text}
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        click.echo(f"{_MARKS[severity]}  {check}: {text}")
    return severity is not Severity.FAILURE


def _temporal(configuration: Configuration) -> list[CheckResult]:
    try:
        # Only now, as it imports temporalio.
        from slad.temporal.passthrough.checkup import examine_link  # noqa: PLC0415
    except ImportError:
        text = "Temporal's client is not installed: pip install 'slad[temporal]'"
        return [CheckResult(Severity.FAILURE, "temporal", text)]
    return asyncio.run(examine_link(configuration.temporal().connection))


def _failed(error: DatabaseError) -> CommandError:
    return CommandError(str(error), EXIT_CANNOT_START)
