"""How many calls that last there may be at once: in all, and of one caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum, auto
from typing import Final

from slad.config.settings import LimitSettings
from slad.core.errors import Refusal, Refused

RETRY_S: Final = 5
"""What a caller is told to wait who finds no place."""

IN_ALL: Final = "in all"
OF_YOURS: Final = "of yours"


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


class Shares:
    """`most` of something at once, and `share` of it for each holder; a falsy one is nobody in particular."""

    def __init__(self, most: int, share: int) -> None:
        self._most = most
        self._share = share
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def taken(self, holder: Hashable, full: Callable[[int, str], Refused]) -> Iterator[None]:
        """One of them for `holder`. Raises what `full` makes of how many there are, and whose: "of yours"
        or "in all".
        """
        if self._taken.total() >= self._most:
            raise full(self._most, IN_ALL)
        if holder and self._taken[holder] >= self._share:
            raise full(self._share, OF_YOURS)
        self._taken[holder] += 1
        try:
            yield
        finally:
            self._taken[holder] -= 1
            if not self._taken[holder]:
                del self._taken[holder]


class Places:
    """Places for calls of one kind: `most`, as `setting` says, and for a caller `share` (`_per_caller`)."""

    def __init__(self, what: str, setting: str, most: int, share: int) -> None:
        self._what = what
        self._setting = setting
        self._shares = Shares(most, share)

    def taken(self, holder: Hashable) -> AbstractContextManager[None]:
        """A place of `holder`'s. Raises Refused (RESOURCE_EXHAUSTED) when there is none."""
        return self._shares.taken(holder, self._full)

    def _full(self, most: int, whose: str) -> Refused:
        setting = f"{self._setting}_per_caller" if whose is OF_YOURS else self._setting
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
