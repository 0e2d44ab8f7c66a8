"""StartSlaTracking held against a bare gRPC echo: `python -m benchmarks.start_vs_echo`.

Both servers run side by side; the load goes to one and to the other in turn, so that whatever else the
machine does meets both. README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import apsw

from benchmarks.load import Measurement
from benchmarks.processes import Server, echo, load, slad
from benchmarks.start_request import StartRequests
from slad.storage.database import DATABASE_NAME

HEADER: Final = (
    "in flight",
    "server",
    "calls/s",
    "p50 ms",
    "p99 ms",
    "server CPU µs/call",
    "client CPU µs/call",
    "calls/commit",
)


class Round(NamedTuple):
    """A measurement of each server, one right after the other."""

    echo: Measurement
    slad: Measurement
    calls_per_commit: float


class CommitCounter:
    """Counts calls and commits by what slad has stored: all audit rows of a commit bear the same instant.

    Two commits within a millisecond count as one; they take longer than that.
    """

    def __init__(self, data: Path) -> None:
        self._connection = apsw.Connection(str(data / DATABASE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
        self._last = 0

    def calls_per_commit(self) -> float:
        """Of the calls since the last time."""
        calls, commits, last = self._connection.execute(
            "SELECT count(*), count(DISTINCT recorded_at), max(audit_key) FROM audit WHERE audit_key > ?",
            (self._last,),
        ).get
        self._last = last or self._last
        return calls / commits if commits else 0.0

    def close(self) -> None:
        """Lets go of the database."""
        self._connection.close()


def sync_ms(directory: Path, times: int = 50) -> float:
    """What it takes to make 4 KiB durable in `directory`, in ms (median)."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return median(taken) * 1e3


def compare(
    peers: tuple[Server, Server], commits: CommitCounter, options: argparse.Namespace, in_flight: int
) -> list[Round]:
    """The rounds with so many calls in flight."""
    rounds = []
    for number in range(options.rounds):
        commits.calls_per_commit()
        echoed, started = (
            load(
                server,
                in_flight=in_flight,
                warm_up=options.warm_up,
                seconds=options.seconds,
                with_request_id=not options.no_request_id,
            )
            for server in peers
        )
        done = Round(echoed, started, commits.calls_per_commit())
        rounds.append(done)
        print(
            f"{in_flight} in flight, round {number + 1}: "
            f"echo {done.echo.rate:,.0f}/s, slad {done.slad.rate:,.0f}/s",
            file=sys.stderr,
        )
    return rounds


def table(results: dict[int, list[Round]]) -> list[str]:
    """The results in Markdown: medians, and in brackets the least and the greatest."""
    lines = [_row(HEADER), _row(["---:"] * len(HEADER))]
    for in_flight, rounds in results.items():
        echoes, slads = [r.echo for r in rounds], [r.slad for r in rounds]
        commits = f"{median(r.calls_per_commit for r in rounds):.1f}"
        lines.append(_row([str(in_flight), "echo", *_cells(echoes), "–"]))
        lines.append(_row([str(in_flight), "slad", *_cells(slads), commits]))
        lines.append(_row([str(in_flight), "**slad ÷ echo**", *_ratios(rounds), "–"]))
    return lines


def _cells(measured: list[Measurement]) -> list[str]:
    rates = [m.rate for m in measured]
    return [
        f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})",
        f"{median(m.p50_ms for m in measured):.1f}",
        f"{median(m.p99_ms for m in measured):.1f}",
        f"{median(m.server_cpu_us for m in measured):.0f}",
        f"{median(m.client_cpu_us for m in measured):.0f}",
    ]


def _ratios(rounds: list[Round]) -> list[str]:
    """Medians of the ratios within each round: what slows a round slows both its halves."""

    def ratio(of: Callable[[Measurement], float]) -> list[float]:
        return [of(r.slad) / of(r.echo) for r in rounds]

    rates = ratio(lambda m: m.rate)
    return [
        f"**{median(rates):.2f}** ({min(rates):.2f}–{max(rates):.2f})",
        f"{median(ratio(lambda m: m.p50_ms)):.2f}",
        f"{median(ratio(lambda m: m.p99_ms)):.2f}",
        f"{median(ratio(lambda m: m.server_cpu_us)):.2f}",
        f"{median(ratio(lambda m: m.client_cpu_us)):.2f}",
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[32, 128], help="calls at a time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round, with each server")
    parser.add_argument("--warm-up", type=float, default=0.5, metavar="SECONDS", help="before each of them")
    parser.add_argument("--no-request-id", action="store_true", help="start tickets without a request_id")
    parser.add_argument(
        "--disk",
        type=Path,
        default=Path("/var/tmp"),
        metavar="DIR",
        help="where slad's data directory is made; on a real disk, or durability costs nothing",
    )
    options = parser.parse_args()
    requests = StartRequests(with_request_id=not options.no_request_id)
    request = requests.next()
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=options.disk) as scratch:
        data = Path(scratch) / "data"
        sync = sync_ms(Path(scratch))
        with slad(data) as slad_server:
            reply = slad_server.call(request)
            commits = CommitCounter(data)
            try:
                with echo(len(reply)) as echo_server:
                    peers = (echo_server, slad_server)
                    results = {n: compare(peers, commits, options, n) for n in options.in_flight}
            finally:
                commits.close()
    print(
        f"Python {platform.python_version()}, grpcio {version('grpcio')}, {os.cpu_count()} cores, "
        f"load average {os.getloadavg()[0]:.1f}; {options.rounds} rounds of {options.seconds:g} s; "
        f"request {len(request)} bytes, reply {len(reply)} bytes; fdatasync of 4 KiB takes {sync:.2f} ms.\n"
    )
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
