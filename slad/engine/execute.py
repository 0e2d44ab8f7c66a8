"""Carrying out commands: each is decided, its answer made, and its changes are put into the unit of work."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import msgspec

from slad.core.errors import InvalidField, Refused, without_frames
from slad.engine.commands import Command, Render
from slad.engine.handlers import HANDLERS
from slad.engine.outcome import Outcome
from slad.engine.unit_of_work import UnitOfWork
from slad.storage.codec import AuditEntry
from slad.storage.database import StorageError

T = TypeVar("T")


class _Decided(msgspec.Struct, frozen=True):
    """A command that is decided and not stored."""

    command: Command
    outcome: Outcome
    reply: bytes


def execute(work: UnitOfWork, command: Command, render: Render) -> bytes:
    """Carries out `command` in `work` and returns its rendered answer.

    Raises InvalidField, Refused; then `work` is as it was.
    """
    decided = _decide(work, command, render)
    return decided if isinstance(decided, bytes) else _store(work, decided)


def execute_all(work: UnitOfWork, commands: Sequence[tuple[Command, Render]]) -> list[bytes | Exception]:
    """Carries out commands in their order, each on its own: its rendered answer, or why it was refused (X2).

    Commands for different tickets are first all decided, then all stored: doing the same thing many times in
    a row keeps its code in the processor's cache. Raises StorageError when the database cannot be read.
    """
    work.foresee([command for command, _ in commands])
    outcomes: list[bytes | Exception] = []
    waiting: list[tuple[int, _Decided]] = []
    about: set[Hashable] = set()
    """The tickets, and the request ids, of those that wait."""

    def store() -> None:
        for place, decided in waiting:
            outcomes[place] = _attempt(_store, work, decided)
        waiting.clear()
        about.clear()

    for place, (command, render) in enumerate(commands):
        request = command.request and (command.request.scope, command.request.request_id)
        if command.ticket_id in about or request in about:
            store()
        decided = _attempt(_decide, work, command, render)
        if not isinstance(decided, _Decided):
            outcomes.append(decided)
            continue
        outcomes.append(decided.reply)
        waiting.append((place, decided))
        about.add(command.ticket_id)
        if request is not None:
            about.add(request)
        if decided.outcome.concerns_carrier:
            store()
    store()
    return outcomes


def _decide(work: UnitOfWork, command: Command, render: Render) -> _Decided | bytes:
    """What becomes of a command; bytes: the answer that its request id was given before (M6)."""
    if command.request is not None:
        known = work.answer(command.request)
        if known is not None:
            return known
    outcome = HANDLERS[type(command)](work, command)
    return _Decided(command, outcome, render(outcome.answer))


def _store(work: UnitOfWork, decided: _Decided) -> bytes:
    command, outcome, reply = decided.command, decided.outcome, decided.reply
    for write in outcome.writes:
        entry = AuditEntry(
            type(command).__name__,
            getattr(command, "effective_at", None),
            command.request.request_id if command.request else "",
            outcome.answer.changed,
            outcome.note,
            command.token_id,
            None if write.former is None else write.undo,
        )
        work.put_and_tell(write, entry)
    if command.request is not None:
        work.remember(command.request, reply)
    return reply


def _attempt(do: Callable[..., T], *arguments: Any) -> T | Exception:
    """What `do` returns, or what it raises. Raises StorageError."""
    try:
        return do(*arguments)
    except StorageError:
        raise
    except (InvalidField, Refused) as error:
        return without_frames(error)
    except Exception as error:
        return error
