"""`slad import` and `slad export`: the open tickets of a desk, from a file and to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, TextIO

import click
from click.exceptions import Exit
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc

from slad.cli import time_text
from slad.cli.daemon_connection import Daemon, daemon_options
from slad.cli.exits import EXIT_CANNOT_START, EXIT_UNSOUND, CommandError
from slad.cli.help import example
from slad.cli.output import Printer, as_dict, console, note, output_option, table
from slad.cli.request_file import STDIN, name_of
from slad.cli.tracking_files import FORMATS, Row, read_csv, read_jsonl, write_csv, write_jsonl
from slad.core.errors import InvalidField
from slad.core.instants import from_datetime
from slad.service.fields import Fields
from slad.service.import_rows import tracking_import
from slad.service.requests import RequestReader

ROWS_IN_A_MESSAGE: Final = 200
MAX_SHOWN: Final = 50
"""How many rejected rows a table shows; --json has all that the daemon lists."""

_READERS: Final[dict[str, Callable[[Iterable[str]], Iterator[Row]]]] = {"jsonl": read_jsonl, "csv": read_csv}

format_option: Final = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="By default the name of the file decides: .csv is csv, anything else jsonl.",
)


@click.command(
    "import",
    epilog=example("slad import desk.csv --tenant acme --check", "slad import desk.csv --tenant acme"),
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@format_option
@click.option(
    "--tenant", "tenant_id", default="", metavar="TENANT", help="The tenant of rows that name none."
)
@click.option("--check", is_flag=True, help="Only check the rows. This needs no daemon.")
@output_option("table", "wide", "json", "yaml")
@daemon_options
def import_command(
    daemon: Daemon, file: Path, form: str | None, tenant_id: str, check: bool, out: Printer
) -> None:
    """Import the open tickets in FILE; - reads standard input.

    FILE holds JSON lines or CSV, as `slad export` writes them. Wrong rows are rejected, the others are
    imported. Tickets that slad has already are not changed, so you can import a file again. Exit code 5 if
    rows were rejected.
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
    out.one(source.summary(reply, checked=check), lambda: _report(source, reply, checked=check))
    if source.rejected_count(reply):
        raise Exit(EXIT_UNSOUND)


class _Source:
    """The rows of a file on their way to the daemon, and the result of each."""

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
        """How many rows could be read."""
        return len(self._sent)

    def rows(self) -> Iterator[Row]:
        """The rows that can be read; the others are kept for the report. Raises CommandError."""
        for row in self._read(_utf_8(self._lines)):
            if row.tracking is None:
                self._wrong.append(row)
                continue
            if not row.tracking.start.tenant_id:
                row.tracking.start.tenant_id = self._tenant
            self._sent.append(row.line)
            yield row

    def messages(self) -> Iterator[rpc.ImportSlaTrackingsRequest]:
        """The readable rows, in messages. gRPC calls this on a thread: `raise_failure` raises its error."""
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
        """Checks a row as the daemon would."""
        assert row.tracking is not None
        try:
            tracking_import(self._requests, row.tracking, "", from_datetime(time_text.wall_clock()))
        except InvalidField as error:
            self._sent.pop()
            ticket = row.tracking.start.ticket_id
            self._wrong.append(Row(row.line, None, ticket, error.field, error.message))

    def raise_failure(self) -> None:
        """Raises the error that ended `messages`, if there was one."""
        if self._failure is not None:
            raise self._failure

    def rejected(self, reply: rpc.ImportSlaTrackingsResponse) -> list[dict[str, Any]]:
        """The rows that were rejected, here or by the daemon, by line."""
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
        """How many rows were rejected."""
        return len(self._wrong) + reply.rejected_count

    def summary(self, reply: rpc.ImportSlaTrackingsResponse, *, checked: bool) -> dict[str, Any]:
        """The result for programs."""
        counts = {"rejected_count": str(self.rejected_count(reply)), "checked": checked}
        return {**as_dict(reply), "rejected": self.rejected(reply), **counts}


def _report(source: _Source, reply: rpc.ImportSlaTrackingsResponse, *, checked: bool) -> Iterator[Any]:
    rejected, count = source.rejected(reply), source.rejected_count(reply)
    if checked:
        yield f"{source.count} correct, {count} wrong"
    else:
        yield f"{reply.created} created, {reply.kept} existed already, {count} rejected"
    if rejected:
        rows = [
            [str(row["line"]), row["ticket_id"], row["field"], row["reason"]] for row in rejected[:MAX_SHOWN]
        ]
        yield table(("LINE", "TICKET", "FIELD", "WHY"), rows)
    if count > MAX_SHOWN:
        note(f"{count - MAX_SHOWN} more were rejected; --json lists up to 10,000")


@click.command(
    epilog=example("slad export -o desk.csv", "slad export --address OLD | slad import - --address NEW")
)
@click.option("--tenant", "tenant_id", default="", metavar="TENANT", help="Only tickets of this tenant.")
@format_option
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The file to write, by default standard output. It appears only when it is complete.",
)
@daemon_options
def export(daemon: Daemon, tenant_id: str, form: str | None, output: Path | None) -> None:
    """Export the live tickets, with everything that another slad needs to continue with them."""
    write = write_csv if (form or _form_of(output or STDIN)) == "csv" else write_jsonl
    with _written(output) as file, daemon.channel() as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        stream = stub.ExportSlaTrackings(rpc.ExportSlaTrackingsRequest(tenant_id=tenant_id))
        with _progress("exporting", counting=output is not None) as progress:
            write(_shown((row for reply in stream for row in reply.trackings), progress), file)


# --- files


def _form_of(file: Path) -> str:
    if file.suffix.lower() in (".xlsx", ".xls", ".ods", ".numbers"):
        raise CommandError(
            f"{file} would be a workbook; slad reads and writes .jsonl and .csv, which spreadsheets open"
        )
    return "csv" if file.suffix.lower() in (".csv", ".tsv") else "jsonl"


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    if file == STDIN:
        yield _as_utf8(sys.stdin)
        return
    try:
        stream = file.open(encoding="utf-8", newline="")
    except OSError as error:
        raise CommandError(f"{name_of(file)} cannot be read: {error.strerror}", EXIT_CANNOT_START) from error
    with stream:
        yield stream


@contextmanager
def _written(file: Path | None) -> Iterator[TextIO]:
    """A file that gets its name when it is complete."""
    if file is None:
        yield _as_utf8(sys.stdout)
        return
    part = file.with_name(f"{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        # A new file: what somebody else may have put there, such as a link, is not followed.
        with part.open("x", encoding="utf-8", newline="") as stream:
            yield stream
        os.replace(part, file)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}", EXIT_CANNOT_START) from error
    finally:
        part.unlink(missing_ok=True)


def _utf_8(lines: Iterable[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise CommandError("the file is not UTF-8; save it as UTF-8") from error


def _as_utf8(stream: Any) -> TextIO:
    """Standard input or output, as UTF-8 like a file: another machine may read what this one writes."""
    stream.reconfigure(encoding="utf-8", errors="strict")
    text: TextIO = stream
    return text


# --- progress


def _progress(what: str, *, counting: bool = True) -> Any:
    """A progress bar on standard error, if that is a terminal."""
    out = console(stderr=True)
    if not counting or not out.is_terminal:
        return nullcontext(None)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=out, transient=True)


def _counted(stream: TextIO, file: Path, progress: Progress | None) -> Iterator[str]:
    """The lines. The bar counts kilobytes of a file, and lines if there is no size."""
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
