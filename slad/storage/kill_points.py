"""Named moments at which a crash trial ends the process, as a power cut would.

Armed by `SLAD_KILL_POINT=NAME:N` in the environment: the process kills itself (SIGKILL) when it comes to NAME
for the Nth time. Nothing else uses it; unarmed, a kill point costs a comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

TURN_BUILT: Final = "turn-built"
"""Commands were applied in memory; nothing has been written."""

ROWS_WRITTEN: Final = "rows-written"
"""All rows of the transaction are written; it is not committed."""

COMMITTED: Final = "committed"
"""The transaction is durable; nobody has been told."""

PUBLISHED: Final = "published"
"""Watchers have been woken; the callers are not answered."""

ALL: Final = (TURN_BUILT, ROWS_WRITTEN, COMMITTED, PUBLISHED)
"""Those of a running daemon, in the order in which it comes to them."""

RESTORE_COPIED: Final = "restore-copied"
"""The copy of a restore is complete; nothing is moved."""

WAL_MOVED: Final = "wal-moved"
"""The WAL of the former database is moved aside, the database is not."""

DATABASE_MOVED: Final = "database-moved"
"""The former database is moved aside; its place is empty."""


class _Trial:
    def __init__(self, armed: str) -> None:
        self.name, _, count = armed.partition(":")
        self.left = int(count or 1)

    def come_to(self, name: str) -> None:
        if name == self.name:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_armed: Final = os.environ.get("SLAD_KILL_POINT")
_trial: Final = _Trial(_armed) if _armed else None


def kill_point(name: str) -> None:
    """Marks a moment; see the module."""
    if _trial is not None:
        _trial.come_to(name)
