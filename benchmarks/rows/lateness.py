"""How late a threshold is at the watcher, with a million pending and commands beside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from statistics import median, quantiles

from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from benchmarks.clients import started, told
from benchmarks.pending import ROWS_A_MESSAGE, serving, take
from benchmarks.processes import Server
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row

DUE_A_SECOND = 20
COMMANDS_A_SECOND = 500
SECONDS = 60
"""Of each run."""
LEAD_S = 15
"""Before the first threshold falls due: the daemon takes in the tickets meanwhile."""


def run(options: Options) -> Result:
    """Percentiles of receipt minus scheduled instant; of a bare timer in an idle process besides."""
    figures: dict[str, list[float]] = {}
    series: dict[str, list[list[float]]] = {}
    with serving(options.large, options.disk) as server:
        for number in range(options.repeats):
            late = measure(server, str(number))
            bare = asyncio.run(_bare_timers())
            cut, bare_cut = quantiles([ms for _, ms in late], n=1000), quantiles(bare, n=1000)
            for name, value in (
                ("p50 ms", median(ms for _, ms in late)),
                ("p99 ms", cut[989]),
                ("p99.9 ms", cut[998]),
                ("max ms", max(ms for _, ms in late)),
                ("bare p50 ms", median(bare)),
                ("bare p99 ms", bare_cut[989]),
                ("ratio, p50", median(ms for _, ms in late) / median(bare)),
                ("ratio, p99", cut[989] / bare_cut[989]),
            ):
                figures.setdefault(name, []).append(value)
            series["lateness"] = [[at - late[0][0], ms] for at, ms in late]
    notes = [f"{DUE_A_SECOND} due a second for {SECONDS} s, {COMMANDS_A_SECOND} commands a second beside."]
    return Result("lateness", figures, notes, series)


def measure(
    server: Server,
    run: str,
    *,
    seconds: int = SECONDS,
    lead_s: float = LEAD_S,
    commands_a_second: int = COMMANDS_A_SECOND,
) -> list[list[float]]:
    """(epoch seconds of the receipt, ms after the scheduled instant) of each threshold at a watcher.

    Raises RuntimeError when other thresholds came than were due.
    """
    watcher = started("lateness", server.target, "--seconds", str(lead_s + seconds + 2))
    first, expected = time.time() + lead_s, DUE_A_SECOND * seconds
    import_due(server, run, first, expected)
    if time.time() > first:
        raise RuntimeError("the import took too long for this measurement")
    load = (
        started(
            "commands", server.target, "--rate", str(commands_a_second), "--seconds", str(lead_s + seconds)
        )
        if commands_a_second
        else None
    )
    late: list[list[float]] = told(watcher, seconds + 120)["late"]
    if load:
        told(load, seconds + 120)
    if not expected <= len(late) <= expected * 1.02:
        raise RuntimeError(f"{expected} thresholds were due, {len(late)} came")
    return late


def import_due(server: Server, run: str, first: float, number: int) -> None:
    """Tickets whose first threshold falls due one after the other, from `first` (epoch seconds) on.

    Their target is a day, the threshold at half of it: nothing else of them falls due for twelve hours.
    """
    target = pb.SlaPolicyTarget(resolution_time_minutes=24 * 60, is_24x7=True)

    def messages() -> Iterator[rpc.ImportSlaTrackingsRequest]:
        for begin in range(0, number, ROWS_A_MESSAGE):
            message = rpc.ImportSlaTrackingsRequest()
            for place in range(begin, min(begin + ROWS_A_MESSAGE, number)):
                start = message.trackings.add().start
                start.CopyFrom(
                    rpc.StartSlaTrackingRequest(
                        tenant_id="due",
                        ticket_id=f"D-{run}-{place}",
                        targets=[target],
                        notification_thresholds=[50],
                    )
                )
                due = first + place / DUE_A_SECOND
                start.started_at.FromMilliseconds(int((due - 12 * 3_600) * 1e3))
            yield message

    take(server, messages(), number)


async def _bare_timers(number: int = 400) -> list[float]:
    """How late `loop.call_at` of an idle process is, in ms."""
    loop = asyncio.get_running_loop()
    late: list[float] = []
    done = loop.create_future()
    begun = loop.time() + 0.1

    def fire(due: float) -> None:
        late.append((loop.time() - due) * 1e3)
        if len(late) == number:
            done.set_result(None)

    for place in range(number):
        due = begun + place / DUE_A_SECOND / 2
        loop.call_at(due, fire, due)
    await done
    return late


ROW = Row(
    "lateness",
    "lateness of a threshold at the watcher, 1,000,000 pending, 20 due and 500 commands a second",
    "a bare asyncio timer in an idle process",
    (
        Target("p50 ms", 2, at_least=False, unit="ms"),
        Target("p99 ms", 10, at_least=False, unit="ms"),
        Target("ratio, p50", 2, at_least=False),
        Target("ratio, p99", 2, at_least=False),
    ),
    run,
    330,
)
