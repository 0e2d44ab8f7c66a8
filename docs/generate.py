"""Writes what the documents say of commands and settings from these themselves (`make docs`).

That is the reference in docs/command-line.md, behind its mark, the tables of settings in
docs/configuration.md and docs/events.md and of alerts in docs/metrics.md, the man page docs/man/slad.1,
and the picture of README.md. With --check nothing is written, and a difference is an error.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import yaml

from docs.picture import picture
from slad.cli import exits
from slad.cli.daemon_connection import daemon_options
from slad.cli.main import SECTIONS, main
from slad.config.reader import SETTINGS
from slad.config.sinks import TYPES, SinkSettings
from slad.config.tables import REQUIRED, Setting, settings_of

HERE: Final = Path(__file__).resolve().parent
REFERENCE: Final = HERE / "command-line.md"
MAN_PAGE: Final = HERE / "man" / "slad.1"
PICTURE: Final = HERE / "images" / "ticket.svg"
BEGIN: Final = "<!-- made by `make docs` from here on -->\n"

WITH_TABLES: Final = (HERE / "configuration.md", HERE / "events.md", HERE / "metrics.md")
RULES: Final = HERE.parent / "ops" / "prometheus" / "slad.rules.yml"
TABLE: Final = re.compile(r"(<!-- `make docs` makes the table `(\w+)` -->\n).*?(<!-- end -->)", re.DOTALL)

SETTING_FLAGS: Final = {setting.flag for setting in SETTINGS.values()}
CONNECTION: Final = click.command("connection")(daemon_options(lambda: None))
CONNECTION_FLAGS: Final = {option.opts[0] for option in CONNECTION.params}


Row = tuple[str, str, str]
"""(spelling, variable, help) of an option."""


def row(option: click.Option, context: click.Context) -> Row:
    """An option as its help has it."""
    record = option.get_help_record(context)
    assert record is not None
    spelling, told = record
    told = re.sub(r" \[env var: \w+\]", "", " ".join(told.split()))
    return spelling, str(option.envvar or ""), told


class Entry(NamedTuple):
    """One command."""

    name: str
    """With those above it: `slad consumers list`."""
    command: click.Command
    context: click.Context

    @property
    def usage(self) -> str:
        """The usage line."""
        return " ".join([self.name, *self.command.collect_usage_pieces(self.context)])

    @property
    def paragraphs(self) -> list[str]:
        """Its help."""
        text = inspect.cleandoc(self.command.help or "")
        return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]

    @property
    def examples(self) -> list[str]:
        """The command lines of its epilog."""
        return [line.strip() for line in (self.command.epilog or "").splitlines()[2:]]

    def options(self) -> Iterator[Row]:
        """The options that are its own: without settings, and without those of the connection."""
        for option in self.command.get_params(self.context):
            if not isinstance(option, click.Option) or option.hidden or "--help" in option.opts:
                continue
            if self.takes_settings and option.opts[0] in SETTING_FLAGS:
                continue
            if option.opts[0] not in CONNECTION_FLAGS:
                yield row(option, self.context)

    @property
    def calls_the_daemon(self) -> bool:
        """Whether it takes the options of the connection."""
        return "--address" in {name for option in self.command.params for name in option.opts}

    @property
    def takes_settings(self) -> bool:
        """Whether all settings of the daemon are options of it."""
        own = {name for option in self.command.params for name in option.opts}
        return len(own & SETTING_FLAGS) > 1


def entries(section: dict[str, Any]) -> Iterator[Entry]:
    """The commands of a section, those of groups one by one."""
    root = click.Context(main, info_name="slad", max_content_width=10_000, terminal_width=10_000)
    for name in section:
        command = main.get_command(root, name)
        assert command is not None
        yield from _below(f"slad {name}", command, root)


def _below(name: str, command: click.Command, parent: click.Context) -> Iterator[Entry]:
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent)
    if not isinstance(command, click.Group):
        yield Entry(name, command, context)
        return
    for below in command.list_commands(context):
        found = command.get_command(context, below)
        assert found is not None
        yield from _below(f"{name} {below}", found, context)


def connection_rows() -> list[Row]:
    """The options that say where the daemon is and how to call it."""
    context = click.Context(CONNECTION, terminal_width=10_000, max_content_width=10_000)
    return [row(option, context) for option in CONNECTION.params if isinstance(option, click.Option)]


def exit_codes() -> list[tuple[int, str]]:
    """(code, meaning) as slad/cli/exits.py has them."""
    body = ast.parse(inspect.getsource(exits)).body
    found = [(0, "Success, or a clean stop.")]
    for constant, told in pairwise(body):
        if isinstance(constant, ast.AnnAssign) and isinstance(told, ast.Expr):
            assert isinstance(constant.target, ast.Name)
            assert isinstance(told.value, ast.Constant)
            found.append((getattr(exits, constant.target.id), " ".join(str(told.value.value).split())))
    return found


# --- Markdown


def reference() -> str:
    """The reference, and before it the exit codes."""
    return "\n".join(_reference()) + "\n"


def _reference() -> Iterator[str]:
    yield "## Exit codes"
    yield ""
    yield "| code | |"
    yield "|---|---|"
    for code, told in exit_codes():
        yield f"| {code} | {told} |"
    yield ""
    yield "## Connection options"
    yield ""
    yield "Every command that calls the daemon takes these options."
    yield from _table(connection_rows())
    for title, commands in SECTIONS:
        yield ""
        yield f"## {title}"
        for entry in entries(dict(commands)):
            yield ""
            yield f"### {entry.name}"
            yield ""
            yield "```"
            yield entry.usage
            yield "```"
            for paragraph in entry.paragraphs:
                yield ""
                yield _escaped(paragraph)
            if entry.takes_settings:
                yield ""
                yield "Every setting of [configuration.md](configuration.md) is an option."
            if entry.calls_the_daemon:
                yield ""
                yield "Takes the [connection options](#connection-options)."
            yield from _table(list(entry.options()))
            if entry.examples:
                yield ""
                yield "```sh"
                yield from entry.examples
                yield "```"


def _table(rows: list[Row]) -> Iterator[str]:
    if rows:
        yield ""
        yield "| option | variable | |"
        yield "|---|---|---|"
    for spelling, variable, told in rows:
        shown = f"`{variable}`" if variable else ""
        yield f"| `{_cell(spelling)}` | {shown} | {_escaped(_cell(told))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;")


# --- man


def man_page() -> str:
    """The man page, in roff."""
    return "\n".join(_man_page()) + "\n"


def _man_page() -> Iterator[str]:
    yield '.TH SLAD 1 "" "slad" "slad"'
    yield ".ds AD l"  # lines of options do not fill up well
    yield ".SH NAME"
    yield r"slad \- keeps the SLA clocks of a service desk"
    yield ".SH SYNOPSIS"
    yield ".B slad"
    yield r"[\-\-version] [\-\-help] \fICOMMAND\fR [\fIARGUMENTS\fR]"
    yield ".SH DESCRIPTION"
    yield "slad keeps the SLA clocks of a service desk: one daemon beside the PSA, a gRPC service over a"
    yield "timing wheel that is persisted in one SQLite file."
    yield ".B slad serve"
    yield "runs it. The other commands call it, or take care of its data."
    for title, commands in SECTIONS:
        yield f".SH {title.upper()}"
        for entry in entries(dict(commands)):
            yield f".SS {_roff(entry.usage)}"
            yield from _paragraphs(entry.paragraphs)
            yield from _roff_options(entry.options())
            for line in entry.examples:
                yield ".PP"
                yield rf"\fB{_roff(line)}\fR"
            if entry.name == "slad serve":
                yield from _settings()
            elif entry.takes_settings:
                yield ".PP"
                yield "Takes the settings of"
                yield ".B slad serve"
                yield "too."
    yield ".SH CONNECTION OPTIONS"
    yield "Every command that calls the daemon takes these options."
    yield from _roff_options(connection_rows())
    yield ".SH EXIT STATUS"
    for code, told in exit_codes():
        yield ".TP"
        yield f".B {code}"
        yield _roff(told)
    yield ".SH FILES"
    yield ".TP"
    yield r".I data/slad.db"
    yield "The database, in the directory that"
    yield r".B \-\-data"
    yield "names."


def _roff_options(rows: Iterable[Row]) -> Iterator[str]:
    for spelling, variable, told in rows:
        yield ".TP"
        yield rf"\fB{_roff(spelling)}\fR"
        yield _roff(f"{told} [{variable}]" if variable else told)


def _settings() -> Iterator[str]:
    for setting in SETTINGS.values():
        default = setting.kind.show(setting.default)
        yield ".TP"
        if setting.kind.is_secret:
            yield rf"\fB{_roff(setting.variable)}\fR"
        else:
            yield rf"\fB{_roff(f'{setting.flag} {setting.kind.metavar}')}\fR"
        yield _roff(f"{setting.help} [{setting.variable}]" + (f" [default: {default}]" if default else ""))


def _paragraphs(texts: list[str]) -> Iterator[str]:
    for place, text in enumerate(texts):
        if place:
            yield ".PP"
        yield _roff(text)


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("|", "|\\:")  # where a line may break
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


# --- tables of settings


def table(name: str) -> str:
    """The table of this name: `settings`, `alerts`, `sinks`, or the settings of one type of sinks."""
    made = {"settings": _settings_table, "alerts": _alerts_table}.get(name)
    return "\n".join(made() if made else _sink_table(name)) + "\n"


def _alerts_table() -> Iterator[str]:
    yield "| alert | severity | what it means, and what to do |"
    yield "|---|---|---|"
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            name, told = rule["alert"], rule["annotations"]["description"]
            linked = re.sub(r"docs/([\w.]+\.md)(#[\w-]+)?", r"[\1](\1\2)", told)
            yield f'| <a id="{name.lower()}"></a>`{name}` | {rule["labels"]["severity"]} | {_cell(linked)} |'


def _settings_table() -> Iterator[str]:
    yield "| key | flag | variable | default | |"
    yield "|---|---|---|---|---|"
    for setting in SETTINGS.values():
        flag = "" if setting.kind.is_secret else f"`{setting.flag} {setting.kind.metavar}`"
        yield _row(f"`{setting.key}`", flag, f"`{setting.variable}`", _default(setting), setting.help)


def _sink_table(name: str) -> Iterator[str]:
    shared = {setting.key for setting in settings_of(SinkSettings)}
    yield "| key | default | |"
    yield "|---|---|---|"
    if name == "sinks":
        yield _row("`type`", "", f"{', '.join(f'`{kind}`' for kind in TYPES)}.")
    for setting in sorted(settings_of(TYPES.get(name, SinkSettings)), key=_may_be_left_out):
        if name == "sinks" or setting.key not in shared:
            yield _row(f"`{setting.key}`", _default(setting), setting.help)


def _may_be_left_out(setting: Setting) -> bool:
    return setting.default is not REQUIRED


def _default(setting: Setting) -> str:
    shown = "" if setting.default is REQUIRED else setting.kind.show(setting.default)
    return f"`{shown}`" if shown else ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(map(_cell, cells))} |".replace("|  |", "| |")


# --- writing


def documents() -> dict[Path, str]:
    """Path → what it should hold."""
    intro = REFERENCE.read_text("utf-8").partition(BEGIN)[0]
    found = {REFERENCE: f"{intro}{BEGIN}\n{reference()}", MAN_PAGE: man_page(), PICTURE: picture()}
    for path in WITH_TABLES:
        text = path.read_text("utf-8")
        found[path] = TABLE.sub(lambda m: f"{m[1]}\n{table(m[2])}\n{m[3]}", text)
    return found


def stale() -> list[Path]:
    """The documents that do not hold what they should."""
    return [
        path for path, text in documents().items() if not path.exists() or path.read_text("utf-8") != text
    ]


def run() -> None:
    """Writes the documents, or with --check compares them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a difference")
    if parser.parse_args().check:
        if old := stale():
            raise SystemExit(f"not as the commands are: {', '.join(p.name for p in old)}; run `make docs`")
        return
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    run()
