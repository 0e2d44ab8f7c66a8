"""slad with little room for what it keeps at hand: `python -m tests.trials.fuzz.small_slad COMMAND ARGUMENT…`.

With room as usual, what slad keeps at hand goes on filling for hundreds of thousands of requests, and hides
whether anything else grows. With little it is full after a few thousand: then memory has to stay as it is.
"""

from __future__ import annotations

import sys

from slad.cli.main import main
from slad.core import zones
from slad.delivery import hub
from slad.engine import catalog
from slad.service import terms
from slad.storage import database


def shrink() -> None:
    """Before anything of it is made."""
    hub.TAIL, hub.TAIL_BYTES = 256, 256 * 1024  # type: ignore[misc]
    catalog.MAX_CALENDARS = catalog.MAX_SCHEDULES = 32  # type: ignore[misc]
    catalog.MAX_TENANTS = 128  # type: ignore[misc]
    database.CACHE_KIB = 512  # type: ignore[misc]
    terms.REMEMBERED = 32  # type: ignore[misc]
    # There are some 600, which random requests do not meet at once.
    for name in zones.zone_names():
        zones.load_zone(name)


if __name__ == "__main__":
    shrink()
    main(sys.argv[2:])
