"""`python -m tests.trials.replication`: what taking over costs, by the time that was lost and the time it took."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.trials.replication.rig import Desk, now_ms, tickets_of
from tests.trials.replication.site import Site, bucket_site


async def lose(site: Site, *, warm: bool) -> dict[str, float]:
    """One loss: seconds that were lost, and until another serves. Raises AssertionError when more was lost."""
    desk, primary = Desk(), site.serve("first")
    litestream = site.replicate("first")
    following = None
    async with desk.at_work(primary.addresses[0]):
        await asyncio.sleep(5)
        if warm:
            following = site.follow("second")
            await asyncio.sleep(6)
        primary.process.kill()
        litestream.end()
        lost_at, began = now_ms(), time.monotonic()
    if following is not None:
        following.stop()
    else:
        site.restore("second")
    copied = time.monotonic()
    known_until = await site.adopt("second", epoch=1)
    adopted = time.monotonic()
    second = site.serve("second")
    served = time.monotonic()
    there = await tickets_of(second.addresses[0])
    last = max(one.at for one in desk.acknowledged if one.request.ticket_id in there)
    assert {one.request.ticket_id for one in desk.acknowledged if one.at < known_until} <= there
    return {
        "acknowledged a second": len(desk.acknowledged) / 5,
        "lost, s": (lost_at - last) / 1_000,
        "stated as unknown, s": (lost_at - known_until) / 1_000,
        "restoring, s": copied - began,
        "adopting, s (the rest of the lease)": adopted - copied,
        "starting, s": served - adopted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.trials.replication")
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    for warm in (False, True):
        figures: dict[str, list[float]] = {}
        for _ in range(options.times):
            with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, ExitStack() as running:
                for name, value in asyncio.run(lose(bucket_site(Path(folder), running), warm=warm)).items():
                    figures.setdefault(name, []).append(value)
        print("warm standby" if warm else "restore", "from an S3 server")
        for name, values in figures.items():
            print(f"  {name}: {median(values):.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
