"""What the database takes of the disk (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from slad.core.instants import SECOND_MS
from slad.core.metrics import Metric, MetricKind, Sample
from slad.engine.query_thread import QueryThread
from slad.storage.database import DataDirectory
from slad.storage.store import Store
from slad.storage.unreadable import UnreadableValues

DATABASE = Metric("slad_database_size_bytes", MetricKind.GAUGE, "Size of slad.db.")
DATABASE_FREE = Metric(
    "slad_database_free_bytes", MetricKind.GAUGE, "Free space in slad.db that will be used again."
)
WAL = Metric(
    "slad_wal_size_bytes",
    MetricKind.GAUGE,
    "Size of slad.db-wal, which is merged into slad.db from time to time.",
)
DISK_FREE = Metric(
    "slad_disk_free_bytes", MetricKind.GAUGE, "Free space of the file system that holds the data."
)
LAST_BACKUP = Metric(
    "slad_last_backup_timestamp_seconds",
    MetricKind.GAUGE,
    "When slad backup last succeeded on this data directory; 0: never.",
)
REPLICA_AGE = Metric(
    "slad_replica_age_seconds",
    MetricKind.GAUGE,
    "How far the replica is behind, by what slad replica check last read back from it.",
)
UNREADABLE = Metric(
    "slad_unreadable_values",
    MetricKind.GAUGE,
    "Stored values found damaged since the start and left out; slad doctor names them.",
)


class StorageMetrics:
    """The data directory as a `MetricSource`."""

    metrics: Final = (DATABASE, DATABASE_FREE, WAL, DISK_FREE, LAST_BACKUP, REPLICA_AGE, UNREADABLE)

    def __init__(
        self,
        directory: DataDirectory,
        queries: QueryThread,
        unreadable: UnreadableValues,
        now: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._queries = queries
        self._unreadable = unreadable
        self._now = now

    async def samples(self) -> Iterable[Sample]:
        """The values now."""
        usage = self._directory.usage()
        age = (
            [Sample(REPLICA_AGE, self._now() / SECOND_MS - known)] if (known := usage.replica_known_s) else []
        )
        return [
            *age,
            Sample(DATABASE, usage.database),
            Sample(DATABASE_FREE, await self._queries.read(Store.free_bytes)),
            Sample(WAL, usage.wal),
            Sample(DISK_FREE, usage.disk_free),
            Sample(LAST_BACKUP, usage.last_backup_s),
            Sample(UNREADABLE, len(self._unreadable)),
        ]
