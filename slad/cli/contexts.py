"""The file of contexts: which daemons there are, and how each one is called.

A context holds addresses and paths, never a secret: the token is in a file of its own.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from slad.cli.exits import EXIT_CANNOT_START, CommandError

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Context:
    """How one daemon is called. Paths are absolute."""

    address: str
    """`host:port` or `unix:PATH`."""
    token_file: str = ""
    ca: str = ""
    client_certificate: str = ""
    client_key: str = ""


@dataclass(frozen=True, slots=True)
class Contexts:
    """The contexts by name, and the one that is in use, if any."""

    contexts: dict[str, Context] = field(default_factory=dict)
    current: str = ""

    def get(self, name: str) -> Context:
        """The context of a name. Raises CommandError."""
        if name not in self.contexts:
            raise CommandError(f"there is no context {name!r}; `slad context list` shows all contexts")
        return self.contexts[name]

    def using(self, name: str) -> Contexts:
        """These contexts, with another one in use; an empty name: none. Raises CommandError."""
        if name:
            self.get(name)
        return replace(self, current=name)

    def with_added(self, name: str, context: Context) -> Contexts:
        """These contexts, with one more. Raises CommandError."""
        if name in self.contexts:
            raise CommandError(
                f"there is a context {name!r} already; `slad context remove {name}` removes it"
            )
        return replace(self, contexts={**self.contexts, name: context})

    def without(self, name: str) -> Contexts:
        """These contexts, without one of them. Raises CommandError."""
        self.get(name)
        rest = {other: context for other, context in self.contexts.items() if other != name}
        return Contexts(rest, "" if self.current == name else self.current)


def fields_of(context: Context) -> dict[str, str]:
    """A context as JSON has it."""
    return asdict(context)


def path() -> Path:
    """The file: `slad/contexts.json` in the user's directory of configurations."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".config") / "slad" / "contexts.json"


def load() -> Contexts:
    """The contexts; none without a file. Raises CommandError."""
    file = path()
    try:
        return msgspec.json.decode(file.read_bytes(), type=Contexts)
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}", EXIT_CANNOT_START) from None
    except msgspec.MsgspecError as error:
        raise CommandError(f"{file} is not a file of contexts: {error}") from None


def save(contexts: Contexts) -> None:
    """Replaces the file, as a whole. Raises CommandError."""
    file = path()
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with open(
            os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w", encoding="utf-8"
        ) as stream:
            json.dump(asdict(contexts), stream, indent=2)
            stream.write("\n")
        part.replace(file)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}", EXIT_CANNOT_START) from None
