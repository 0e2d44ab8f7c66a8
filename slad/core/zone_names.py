"""Names that people type for a time zone, and the ones of the IANA database that they may mean (B9)."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Final

from tzlocal.windows_tz import win_tz

from slad.core.zones import zone_names

NO_PLACES: Final = frozenset({"Factory"})
"""Names of the database that stand for a clock which nobody has set."""

MAX_SUGGESTIONS: Final = 3

_LONGEST: Final = 100
"""Beyond it nothing is looked for: likeness is costly, and the longest name has 32 characters."""

_OFFSET: Final = re.compile(r"(?:UTC|GMT)?\s*([+-])\s*0?([0-9]{1,2})(?::?00)?", re.IGNORECASE)


def is_place(name: str) -> bool:
    """Whether a schedule may count by the zone of that name, letter for letter."""
    return name in zone_names() and name not in NO_PLACES


def suggestions(name: str) -> list[str]:
    """IANA names that `name` may stand for, the likeliest first; none when nothing is near."""
    if not name.strip() or len(name) > _LONGEST:
        return []
    if (match := _OFFSET.fullmatch(name.strip())) is not None:
        # The database counts these westwards, as POSIX does: Etc/GMT-2 is two hours ahead of UTC.
        sign = "-" if match[1] == "+" else "+"
        candidate = f"Etc/GMT{sign}{int(match[2])}" if int(match[2]) else "Etc/UTC"
        return [candidate] if is_place(candidate) else []
    plain, by_plain = _plain(name), _by_plain()
    if plain in by_plain:
        return by_plain[plain][:MAX_SUGGESTIONS]
    if plain in _windows():
        return [_windows()[plain]]
    if len(plain) < 5:  # an abbreviation: what looks like it is somewhere else
        return []
    near = difflib.get_close_matches(plain, by_plain, n=MAX_SUGGESTIONS, cutoff=0.75)
    found = dict.fromkeys(zone for key in near for zone in by_plain[key])
    return list(found)[:MAX_SUGGESTIONS]


def _plain(name: str) -> str:
    """`name` without what people get wrong: case, spaces, slashes, underscores and hyphens."""
    return re.sub(r"[\s_/\\-]+", " ", name.strip().casefold()).strip()


@cache
def _by_plain() -> dict[str, list[str]]:
    """The zones by their plain name, and by that of their last part: "Paris"."""
    zones = sorted(zone_names() - NO_PLACES)
    found = {_plain(zone): [zone] for zone in zones}
    for zone in zones:
        _, parted, last = zone.rpartition("/")
        if parted:
            found.setdefault(_plain(last), []).append(zone)
    return found


@cache
def _windows() -> dict[str, str]:
    """CLDR's table: the name of Windows, plain, → that of the database."""
    return {_plain(name): zone for name, zone in win_tz.items()}
