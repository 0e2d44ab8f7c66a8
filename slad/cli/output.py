"""The one printer: tables and lines for people; JSON, YAML and ids for programs."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Final, TypeVar

import click
import yaml
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from slad.cli.exits import CommandError, printable

Command = TypeVar("Command", bound=Callable[..., Any])

FORMS: Final = ("table", "wide", "json", "yaml", "id")

UNLIMITED: Final = 10_000
"""The width of output that is not a terminal, and of `-o wide`: nothing is wrapped."""

WIDE: Final = 150
"""A terminal of so many columns has room for everything."""

FOLDING: Final = frozenset(
    {"TENANT", "TICKET", "DUE", "WHEN", "NEXT", "WHY", "FIELD", "EVENT", "CONSUMER", "TARGET", "LAST ERROR"}
    | {"REASON", "TENANTS", "NAME", "POLICY", "PRIORITY", "OWNER", ""}
)
"""Table columns that are wrapped on a narrow terminal; the others are kept whole."""

_WIDE_FORM: Final = "slad.cli.output.wide"

Cell = str | Text

Columns = list[tuple[str, Callable[[Any], Cell]]]
"""(heading, what stands below it for one item), from left to right."""


class Printer:
    """Prints what a command found, in the form that `-o` names."""

    def __init__(self, form: str) -> None:
        self._form = form

    @property
    def is_for_people(self) -> bool:
        """Whether a person reads the output."""
        return self._form in ("table", "wide")

    def one(self, found: Any, parts: Callable[[], Iterable[RenderableType]], identity: str = "") -> None:
        """Prints a message, or a value that JSON knows. `parts` makes what people see."""
        if self.is_for_people:
            show(*parts())
        elif self._form == "id":
            click.echo(printable(identity))
        elif self._form == "json":
            print_json(found)
        else:
            _print_yaml(found)

    def many(
        self,
        found: Sequence[Any],
        columns: Columns,
        identity: Callable[[Any], str],
        *,
        lines: bool = False,
        plain: Callable[[Any], Any] | None = None,
    ) -> None:
        """Prints items as one table.

        Args:
            found: Messages, or what `plain` makes a value for JSON of.
            columns: The table.
            identity: The id of an item.
            lines: JSON has one object a line, not one array.
            plain: By default `as_dict`.
        """
        if self.is_for_people:
            header = [heading for heading, _ in columns]
            show(table(header, ([cell(item) for _, cell in columns] for item in found)))
        elif self._form == "id":
            for item in found:
                click.echo(printable(identity(item)))
        elif lines:
            for item in found:
                self.next(item, lambda: (), "")
        else:
            self.one([(plain or as_dict)(item) for item in found], lambda: ())

    def next(self, found: Any, parts: Callable[[], Iterable[RenderableType]], identity: str) -> None:
        """Prints the next item of a stream: a line, or a YAML document."""
        if self._form == "json":
            print_json(found, one_line=True)
            return
        if self._form == "yaml":
            click.echo("---")
        self.one(found, parts, identity)


def output_option(*forms: str) -> Callable[[Command], Command]:
    """Adds `-o` with these forms (by default all) and `--json`; the command gets `out: Printer`."""

    def decorate(command: Command) -> Command:
        @click.option(
            "-o",
            "--output",
            "output_form",
            type=click.Choice(forms or FORMS),
            help="The form of the output: table by default; json has the names of the contract.",
        )
        @click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
        @functools.wraps(command)
        def with_printer(*args: Any, output_form: str | None, as_json: bool, **kwargs: Any) -> Any:
            if as_json and output_form not in (None, "json"):
                raise CommandError(f"--json and -o {output_form} contradict each other; give one")
            if output_form == "wide":
                click.get_current_context().meta[_WIDE_FORM] = True
            return command(*args, out=Printer("json" if as_json else output_form or "table"), **kwargs)

        return with_printer  # type: ignore[return-value]

    return decorate


def as_dict(message: Message) -> Any:
    """A message as JSON: names of the contract, enum names, RFC 3339, durations in seconds, int64 as text.

    As grpcurl prints it, but with the zeros and empty texts too, so that every key is there.
    """
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_json(value: Any, *, one_line: bool = False) -> None:
    """Prints a message, or a value that JSON knows."""
    if isinstance(value, Message):
        value = as_dict(value)
    click.echo(json_text(value, ensure_ascii=not fancy(), indent=None if one_line else 2))


def json_text(value: Any, **options: Any) -> str:
    """JSON with every character escaped that a terminal would obey: callers choose values of attributes.

    `options` are those of `json.dumps`.
    """
    plain = json.dumps(value, **options)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in plain)


def _print_yaml(value: Any) -> None:
    if isinstance(value, Message):
        value = as_dict(value)
    click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=fancy()), nl=False)


@cache
def _console(*, stderr: bool, unlimited: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = UNLIMITED if unlimited or not stream.isatty() else None
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def console(*, stderr: bool = False) -> Console:
    """The terminal, or what stands for it. Colours follow the terminal and NO_COLOR."""
    context = click.get_current_context(silent=True)
    return _console(stderr=stderr, unlimited=context is not None and _WIDE_FORM in context.meta)


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
            out.print(part)
    lines = captured.get().splitlines()
    click.echo("\n".join(line.rstrip() for line in lines), color=out.is_terminal)


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """A table without lines, its header in capitals."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in header:
        whole = console().width == UNLIMITED or title not in FOLDING
        made.add_column(title, no_wrap=whole, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    return made


def counted(number: int, noun: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def note(text: str) -> None:
    """Prints a remark on standard error, where programs do not read it."""
    click.echo(f"slad: {printable(text)}", err=True)
