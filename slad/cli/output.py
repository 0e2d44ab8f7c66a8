"""What commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final, TypeVar

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

Command = TypeVar("Command", bound=Callable[..., Any])

UNLIMITED: Final = 10_000
"""The width of what is not a terminal: there nothing is wrapped or cut."""

WIDE: Final = 150
"""Columns from which on a terminal has room for everything."""

FOLDING: Final = frozenset(
    {"TENANT", "TICKET", "DUE", "WHEN", "NEXT", "WHY", "FIELD", "EVENT", "CONSUMER", ""}
)
"""Columns of tables that are wrapped when there is no room; the others are kept whole."""

Cell = str | Text


def json_option(command: Command) -> Command:
    """Adds --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="JSON with the names of the contract, for programs."
    )(command)


def as_dict(message: Message) -> Any:
    """A message as JSON: names of the contract, enum names, RFC 3339, durations in seconds, int64 as text.

    As grpcurl prints it, but with the zeros and empty texts too, so that every key is there.
    """
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_json(value: Any, *, one_line: bool = False) -> None:
    """Prints a message, or what JSON knows."""
    if isinstance(value, Message):
        value = as_dict(value)
    click.echo(json.dumps(value, indent=None if one_line else 2, ensure_ascii=False))


@cache
def console(*, stderr: bool = False) -> Console:
    """The terminal, or what stands for it. Colours follow the terminal and NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNLIMITED
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


@cache
def fancy() -> bool:
    """Whether the output can hold block characters."""
    try:
        "█▒◆✖→".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def wide() -> bool:
    """Whether there is room for everything."""
    return console().width >= WIDE


def show(*parts: RenderableType) -> None:
    """Prints parts, one below the other, without blanks at the ends of lines."""
    out = console()
    with out.capture() as captured:
        for part in parts:
            # Printing joins texts, and a joined one has forgotten that it is not to be wrapped.
            whole = isinstance(part, Text) and bool(part.no_wrap)
            out.print(part, no_wrap=whole, overflow="ellipsis" if whole else None)
    lines = captured.get().splitlines()
    click.echo("\n".join(line.rstrip() for line in lines), color=out.is_terminal)


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """A table without lines, its header in capitals."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in header:
        whole = console().width == UNLIMITED or title not in FOLDING
        made.add_column(title, no_wrap=whole, overflow="fold")
    for row in rows:
        cells = [cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row]
        made.add_row(*cells)
    return made


def safe(text: str) -> str:
    """`text` with nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def note(text: str) -> None:
    """A remark on standard error, where it is in nobody's way."""
    click.echo(f"slad: {safe(text)}", err=True)
