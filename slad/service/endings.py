"""Calls that are ended from outside, with a reason for their caller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

from slad.core.errors import Refused

_reasons: Final[WeakKeyDictionary[asyncio.Task[Any], Refused]] = WeakKeyDictionary()


def end(task: asyncio.Task[Any], reason: Refused) -> None:
    """Cancels a task that is in an `endable` block; there `reason` is raised."""
    _reasons[task] = reason
    task.cancel()


@contextmanager
def endable() -> Iterator[None]:
    """Raises the reason in place of the cancellation, when this task is ended inside."""
    try:
        yield
    except asyncio.CancelledError:
        raise_reason()
        raise


def raise_reason() -> None:
    """Raises why this task is ended, if it is; to be called with its cancellation in hand."""
    task = asyncio.current_task()
    reason = _reasons.pop(task, None) if task is not None else None
    if task is not None and reason is not None:
        task.uncancel()
        raise reason from None
