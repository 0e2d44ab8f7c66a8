"""`slad import` and `slad export`: a desk's open tickets, from a file and to one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, TextIO

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc

from slad.cli import times
from slad.cli.connection import Daemon, daemon_options
from slad.cli.failures import CannotUse, WrongInput
from slad.cli.files import STDIN, name_of
from slad.cli.output import as_dict, console, json_option, note, print_json, show, table
from slad.cli.params import EXIT_UNSOUND
from slad.cli.rows import FORMATS, Row, read_csv, read_jsonl, write_csv, write_jsonl
from slad.core.errors import InvalidField
from slad.core.instants import from_datetime
from slad.service.fields import Fields
from slad.service.import_rows import tracking_import
from slad.service.requests import RequestReader

ROWS_IN_A_MESSAGE: Final = 200
MAX_SHOWN: Final = 50
"""Rejected rows that are printed; --json has all that slad lists."""

_READERS: Final[dict[str, Callable[[Iterable[str]], Iterator[Row]]]] = {"jsonl": read_jsonl, "csv": read_csv}

format_option: Final = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="By default what the name of the file says, else jsonl.",
)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@format_option
@click.option("--tenant", "tenant_id", default="", metavar="TENANT", help="Of rows that name none.")
@click.option("--check", is_flag=True, help="Only check the rows, here; no daemon is asked.")
@json_option
@daemon_options
def import_command(
    daemon: Daemon, file: Path, form: str | None, tenant_id: str, check: bool, as_json: bool
) -> None:
    """Take over the open tickets in FILE, or - for standard input.

    JSON lines or CSV, as `slad export` writes them. Each row is judged on its own; a ticket that is there
    already is kept as it is, so the same file may be sent again. Exit code 5 when rows were rejected.
    """
    with _opened(file) as stream, _progress("checking" if check else "importing") as progress:
        source = _Source(_counted(stream, file, progress), _READERS[form or _form_of(file)], tenant_id)
        if check:
            reply = rpc.ImportSlaTrackingsResponse()
            for row in source.rows():
                source.check(row)
        else:
            with daemon.channel() as channel:
                stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
                reply = stub.ImportSlaTrackings(source.messages())
    source.raise_failure()
    _report(source, reply, as_json, checked=check)
    if source.rejected_count(reply):
        sys.exit(EXIT_UNSOUND)


class _Source:
    """The rows of a file on their way, and what became of them."""

    def __init__(
        self, lines: Iterable[str], read: Callable[[Iterable[str]], Iterator[Row]], tenant: str
    ) -> None:
        self._lines, self._read, self._tenant = lines, read, tenant
        self._requests = RequestReader(Fields())
        self._sent: list[int] = []
        self._wrong: list[Row] = []
        self._failure: Exception | None = None

    @property
    def count(self) -> int:
        """Rows that could be read."""
        return len(self._sent)

    def rows(self) -> Iterator[Row]:
        """Those that can be read; the others are kept for the report."""
        for row in self._read(self._lines):
            if row.tracking is None:
                self._wrong.append(row)
                continue
            if not row.tracking.start.tenant_id:
                row.tracking.start.tenant_id = self._tenant
            self._sent.append(row.line)
            yield row

    def messages(self) -> Iterator[rpc.ImportSlaTrackingsRequest]:
        """The same as messages. Runs on a thread of gRPC, so a failure is kept for `raise_failure`."""
        message = rpc.ImportSlaTrackingsRequest()
        try:
            for row in self.rows():
                assert row.tracking is not None
                message.trackings.append(row.tracking)
                if len(message.trackings) == ROWS_IN_A_MESSAGE:
                    yield message
                    message = rpc.ImportSlaTrackingsRequest()
        except Exception as failure:  # of whatever kind, the thread must not swallow it
            self._failure = failure
        if message.trackings:
            yield message

    def check(self, row: Row) -> None:
        """What the daemon would say of a row."""
        assert row.tracking is not None
        try:
            tracking_import(self._requests, row.tracking, "", from_datetime(times.wall_clock()))
        except InvalidField as error:
            self._sent.pop()
            self._wrong.append(row._replace(tracking=None, field=error.field, problem=error.message))

    def raise_failure(self) -> None:
        """Raises what broke the reading, if anything did."""
        if isinstance(self._failure, UnicodeDecodeError):
            raise WrongInput("the file is not UTF-8") from self._failure
        if self._failure is not None:
            raise self._failure

    def rejected(self, reply: rpc.ImportSlaTrackingsResponse) -> list[dict[str, Any]]:
        """All that was rejected, here or by the daemon, by line."""
        here = [
            {"line": row.line, "ticket_id": row.ticket_id, "field": row.field, "reason": row.problem}
            for row in self._wrong
        ]
        there = [
            {
                "line": self._sent[row.index],
                "ticket_id": row.ticket_id,
                "field": row.field,
                "reason": row.reason,
            }
            for row in reply.rejected
        ]
        return sorted(here + there, key=lambda row: row["line"])

    def rejected_count(self, reply: rpc.ImportSlaTrackingsResponse) -> int:
        """How many were rejected."""
        return len(self._wrong) + reply.rejected_count


def _report(source: _Source, reply: rpc.ImportSlaTrackingsResponse, as_json: bool, *, checked: bool) -> None:
    rejected, count = source.rejected(reply), source.rejected_count(reply)
    if as_json:
        print_json({**as_dict(reply), "rejected": rejected, "rejected_count": str(count), "checked": checked})
        return
    if checked:
        click.echo(f"{source.count} right, {count} wrong")
    else:
        click.echo(f"{reply.created} created, {reply.kept} were there already, {count} rejected")
    if rejected:
        rows = [
            [str(row["line"]), row["ticket_id"], row["field"], row["reason"]] for row in rejected[:MAX_SHOWN]
        ]
        show(table(("LINE", "TICKET", "FIELD", "WHY"), rows))
    if count > MAX_SHOWN:
        note(f"{count - MAX_SHOWN} more were rejected; --json lists up to 10,000")


@click.command()
@click.option("--tenant", "tenant_id", default="", metavar="TENANT", help="Only of this tenant.")
@format_option
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Written whole or not at all; by default to standard output.",
)
@daemon_options
def export(daemon: Daemon, tenant_id: str, form: str | None, output: Path | None) -> None:
    """Write the live tickets, with all that another slad needs to go on with them.

    slad export --address OLD | slad import - --address NEW
    """
    write = write_csv if (form or _form_of(output or STDIN)) == "csv" else write_jsonl
    with _written(output) as file, daemon.channel() as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        stream = stub.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest(tenant_id=tenant_id))
        with _progress("exporting", counting=output is not None) as progress:
            write(_shown((row for reply in stream for row in reply.trackings), progress), file)


# --- files


def _form_of(file: Path) -> str:
    return "csv" if file.suffix.lower() in (".csv", ".tsv") else "jsonl"


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    if file == STDIN:
        yield sys.stdin
        return
    try:
        stream = file.open(encoding="utf-8", newline="")
    except OSError as error:
        raise CannotUse(f"{name_of(file)} cannot be read: {error.strerror}") from error
    with stream:
        yield stream


@contextmanager
def _written(file: Path | None) -> Iterator[TextIO]:
    """A file that takes its name when it is complete."""
    if file is None:
        yield sys.stdout
        return
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        os.replace(part, file)
    except OSError as error:
        raise CannotUse(f"{file} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


# --- progress


def _progress(what: str, *, counting: bool = True) -> Any:
    """A bar on standard error while someone looks at it; else nothing."""
    out = console(stderr=True)
    if not counting or not out.is_terminal:
        return nullcontext(None)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=out, transient=True)


def _counted(stream: TextIO, file: Path, progress: Progress | None) -> Iterator[str]:
    """The lines, told to the bar: kilobytes of a file, lines of what has no size."""
    if progress is None:
        yield from stream
        return
    size = None if file == STDIN else file.stat().st_size
    task = progress.add_task("", total=None if size is None else size // 1024)
    done = 0
    for line in stream:
        done += len(line.encode()) if size is not None else 1024
        progress.update(task, completed=done // 1024)
        yield line


def _shown(
    rows: Iterable[rpc.SlaTrackingImport], progress: Progress | None
) -> Iterator[rpc.SlaTrackingImport]:
    if progress is None:
        yield from rows
        return
    task = progress.add_task("", total=None)
    for row in rows:
        progress.advance(task)
        yield row
