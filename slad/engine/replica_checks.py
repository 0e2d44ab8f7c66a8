"""Does Litestream replicate the database, and in a way that fits slad?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from slad.core.instants import HOUR_MS, SECOND_MS, format_instant
from slad.engine.doctor import CheckResult, Severity
from slad.storage.database import REPLICA_KNOWS

STILL_MS: Final = 60 * SECOND_MS
"""Litestream reads the WAL about every second. If the WAL is newer by this much, it has stopped."""

ACTIVE_MS: Final = HOUR_MS
"""Litestream is running if it wrote within this time: it writes whenever slad does."""

OLD_MS: Final = 2 * HOUR_MS
"""A replica that had nothing newer than this at its last check is a failure."""

LITESTREAM_CONFIGURATIONS: Final = (Path("/etc/slad/litestream.yml"), Path("/etc/litestream.yml"))
"""Where Litestream's configuration is by default: the first of these files that exists."""


class _Bound(NamedTuple):
    key: str
    default: int
    least: int
    most: int
    otherwise: str


BOUNDS: Final = (
    _Bound(
        "truncate-page-n",
        121_359,
        500_000,
        10**12,
        "beyond this number of pages in the WAL, Litestream stops all commits and copies the whole database",
    ),
    _Bound(
        "min-checkpoint-page-count",
        1_000,
        1,
        10_000,
        "Litestream merges this many pages under the write lock, and the next threshold waits for it",
    ),
)
"""The settings that can make thresholds late, with the values that do not."""


def examine_replication(database: Path, *, is_external: bool, now: int) -> Iterator[CheckResult]:
    """Checks the files that Litestream leaves next to the database.

    `is_external`: whether storage.checkpoints is "external".
    """
    read_at = _newest(database.with_name(f".{database.name}-litestream") / "ltx" / "0")
    if not is_external:
        if read_at is not None and read_at > now - ACTIVE_MS:
            text = (
                "Litestream replicates this database, but slad merges the WAL itself, so Litestream may have "
                'to copy the whole database again: set storage.checkpoints = "external"'
            )
            yield CheckResult(Severity.WARNING, "checkpoints", text)
        return
    wal = database.with_name(f"{database.name}-wal")
    written_at = _modified(wal) if wal.exists() else None
    if read_at is None:
        text = (
            "slad leaves the WAL to Litestream, but Litestream has never run here; the WAL grows without end"
        )
        yield CheckResult(Severity.FAILURE, "checkpoints", text)
    elif written_at is not None and written_at > read_at + STILL_MS:
        text = (
            f"Litestream has read nothing since {format_instant(read_at)}, but slad has written: no replica "
            "has the later changes, and the WAL grows"
        )
        yield CheckResult(Severity.FAILURE, "checkpoints", text)
    else:
        yield CheckResult(Severity.OK, "checkpoints", f"Litestream has read up to {format_instant(read_at)}")
    yield _replica(database.with_name(REPLICA_KNOWS), now)


def examine_litestream(configuration: Path, database: Path) -> Iterator[CheckResult]:
    """Checks the settings of Litestream that make thresholds late."""
    try:
        content: Any = yaml.safe_load(configuration.read_text("utf-8"))
        found = next(db for db in content["dbs"] if "$" in db["path"] or Path(db["path"]) == database)
        values = {bound.key: int(found.get(bound.key, bound.default)) for bound in BOUNDS}
    except StopIteration:
        return
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        text = f"{configuration} cannot be read: {' '.join(str(error).split())}"
        yield CheckResult(Severity.WARNING, "litestream", text)
        return
    wrong = [bound for bound in BOUNDS if not bound.least <= values[bound.key] <= bound.most]
    for bound in wrong:
        text = f"{configuration}: {bound.key} is {values[bound.key]}; {bound.otherwise}"
        yield CheckResult(Severity.WARNING, "litestream", f"{text} (ops/litestream/litestream.yml)")
    if not wrong:
        yield CheckResult(Severity.OK, "litestream", f"no setting in {configuration} makes thresholds late")


def _replica(marker: Path, now: int) -> CheckResult:
    if not marker.exists():
        text = "no replica has ever been checked: run slad replica check, and enable its timer"
        return CheckResult(Severity.WARNING, "replica", text)
    known = _modified(marker)
    text = f"at the last check, the replica had everything from before {format_instant(known)}"
    return CheckResult(Severity.OK if known > now - OLD_MS else Severity.FAILURE, "replica", text)


def _newest(folder: Path) -> int | None:
    return max((_modified(path) for path in folder.glob("*.ltx")), default=None)


def _modified(path: Path) -> int:
    """UTC epoch ms."""
    return path.stat().st_mtime_ns // 1_000_000
