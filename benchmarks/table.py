"""All rows, in the order of the table."""

from __future__ import annotations

from typing import Final

from benchmarks.row import Row
from benchmarks.rows import (
    adopt,
    apscheduler,
    attainment,
    batch,
    calendar,
    console,
    day,
    grace,
    growth,
    imports,
    instant,
    lateness,
    pgboss,
    profile,
    pushed,
    replay,
    replicated,
    restart,
    retarget,
    single,
    soak,
    start,
    status,
    statuses,
    temporal,
    webhooks,
    wheel,
)

TABLE: Final[dict[str, Row]] = {
    row.name: row
    for row in (
        start.ROW,
        batch.ROW,
        single.ROW,
        pgboss.ROW,
        temporal.ROW,
        apscheduler.ROW,
        imports.ROW,
        lateness.ROW,
        pushed.ROW,
        console.ROW,
        instant.ROW,
        replay.ROW,
        webhooks.ROW,
        grace.ROW,
        restart.ROW,
        adopt.ROW,
        replicated.ROW,
        retarget.ROW,
        attainment.ROW,
        status.ROW,
        statuses.ROW,
        calendar.ROW,
        wheel.ROW,
        growth.ROW,
        day.ROW,
        profile.ROW,
        soak.ROW,
    )
}
