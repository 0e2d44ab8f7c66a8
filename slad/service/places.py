"""How many calls that last there may be at once: in all, and of one caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final

from slad.config.settings import LimitSettings
from slad.core.errors import Refusal, Refused

RETRY_S: Final = 5
"""What a caller is told to wait who finds no place."""


class Kind(Enum):
    """What a call takes while it lasts."""

    SHORT = auto()
    """Nothing: it is answered at once."""
    WATCH = auto()
    """A stream of events."""
    COMMANDS = auto()
    """A stream of commands."""
    BULK = auto()
    """The tickets of a desk, one by one."""
    PROBE = auto()
    """A stream that shows no tickets: a watch of health, which needs no token, or a reflection."""


class Places:
    """Places for calls of one kind: `most`, as `setting` says, and for a caller `share` (`_per_caller`)."""

    def __init__(self, what: str, setting: str, most: int, share: int) -> None:
        self._what = what
        self._setting = setting
        self._most = most
        self._share = share
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def taken(self, holder: Hashable) -> Iterator[None]:
        """A place of `holder`'s. Raises Refused (RESOURCE_EXHAUSTED) when there is none."""
        if self._taken.total() >= self._most:
            raise self._full("in all", self._setting, self._most)
        if self._taken[holder] >= self._share:
            raise self._full("of yours", f"{self._setting}_per_caller", self._share)
        self._taken[holder] += 1
        try:
            yield
        finally:
            self._taken[holder] -= 1
            if not self._taken[holder]:
                del self._taken[holder]

    def _full(self, whose: str, setting: str, most: int) -> Refused:
        return Refused(
            Refusal.RESOURCE_EXHAUSTED,
            "TOO_MANY_STREAMS",
            f"{most} {self._what} {whose} are open already ({setting})",
            {"limit": setting, "most": str(most)},
            retry_s=RETRY_S,
        )


def places(limits: LimitSettings) -> dict[Kind, Places]:
    """The places there are, by kind."""
    return {
        Kind.WATCH: Places("watches", "limits.watches", limits.watches, limits.watches_per_caller),
        Kind.COMMANDS: Places(
            "streams of commands",
            "limits.command_streams",
            limits.command_streams,
            limits.command_streams_per_caller,
        ),
        Kind.BULK: Places(
            "imports, exports and the like",
            "limits.bulk_calls",
            limits.bulk_calls,
            limits.bulk_calls_per_caller,
        ),
        Kind.PROBE: Places(
            "watches of health and reflections", "limits.probes", limits.probes, limits.probes_per_caller
        ),
    }
