"""`python -m tests.trials.abuse`: attacks of full size, what others noticed of them, as a table.

Exit code 1 if the daemon logged an error or did not end cleanly.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from tests.trials.abuse.trial import Attack, Outcome, run

FULL: Final = (
    Attack(
        "imports", "16 import streams of 128 rows with 1,000 pauses, a token to write", 20, 1, 16, "write"
    ),
    Attack("resets", "2 connections open and reset streams, no token", 5, 2),
    Attack(
        "reconciliations",
        "900 reconciliations held open, a token to read",
        20,
        9,
        100,
        "read",
        with_writes=True,
    ),
    Attack("watches", "200 watches never read, events of 34 KB, a token to read", 10, 2, 100, "read", 600),
    Attack("exports", "200 exports never read, a token to read", 10, 2, 100, "read", 600),
    Attack(
        "previews",
        "100 previews and timelines over centuries at a time, a token to read",
        20,
        1,
        100,
        "read",
        1,
    ),
    Attack("health_watches", "16,000 health watches, no token", 5, 8, 2_000),
    Attack("bodies", "160 bodies of 4 MiB, no token", 5, 4, 40),
    Attack("health_bodies", "160 bodies of 4 MiB for health, no token", 5, 4, 40),
    Attack("handshakes", "1,000 silent TLS connections, no token", 45, 1_000),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trials.abuse", description=__doc__)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help="by default all")
    names = parser.parse_args().attacks
    print(HEAD)
    is_hurt = False
    for attack in FULL:
        if not names or attack.name in names:
            outcome = asyncio.run(run(attack))
            print(row(outcome), flush=True)
            print(outcome.met, outcome.notes.errors, outcome.errors[:3], file=sys.stderr, flush=True)
            is_hurt = is_hurt or bool(outcome.errors) or outcome.exit_code != 0
    return 1 if is_hurt else 0


HEAD: Final = (
    "| attack | memory, highest and after | queries p50, p99, max | starts p50, p99, max | thresholds late p99, max "
    "| newcomers max | operator max | descriptors | WAL | stopped in |\n|---|---|---|---|---|---|---|---|---|---|"
)


def row(outcome: Outcome) -> str:
    """An outcome as a row of the table."""
    notes = outcome.notes
    cells = (
        outcome.attack.what,
        f"{max(notes.memory_mib):.0f} and {outcome.memory_after_mib:.0f} MiB",
        _times(notes.answers_ms, 0.5, 0.99, 1),
        _times(notes.starts_ms, 0.5, 0.99, 1),
        _times(notes.late_ms, 0.99, 1),
        _times(notes.newcomers_ms, 1),
        _times(notes.operator_ms, 1),
        f"{max(notes.descriptors)}",
        f"{max(notes.wal_mib):.0f} MiB",
        f"{outcome.stopped_in_s:.1f} s",
    )
    return f"| {' | '.join(cells)} |"


def _times(found: Sequence[float], *shares: float) -> str:
    if not found:
        return "none"
    ordered = sorted(found)
    return (
        ", ".join(f"{ordered[min(len(ordered) - 1, int(len(ordered) * share))]:,.0f}" for share in shares)
        + " ms"
    )


if __name__ == "__main__":
    sys.exit(main())
