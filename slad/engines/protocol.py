"""What an engine is, to the floors above."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from slad.engines.commands import Answer, Command

Render = Callable[[Answer], bytes]
"""Makes the reply of an answer. Called before the commit, so that a repeated request id can be given the very
same reply (M6)."""


class SlaEngine(Protocol):
    """Carries out commands and fires thresholds.

    A command's answer arrives after the commit that holds the change and its events (M8); when it raises,
    nothing has changed. Cancelling the awaiting task does not tear the commit.
    """

    async def submit(self, command: Command, render: Render) -> bytes:
        """Carries out `command` and returns its rendered answer.

        Raises InvalidField, Refused.
        """
        ...
