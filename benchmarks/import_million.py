"""ImportSlaTrackings at full length: trackings a second, the daemon's memory on the way, bytes on disk.

A client process of its own streams the rows into `slad serve`, as a PSA would at its first day with slad:
open tickets of the last days, some paused, some answered, with thresholds that are past. The daemon's
resident memory is sampled meanwhile; it must not grow with the number of rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from benchmarks.processes import Server, slad
from benchmarks.start_request import StartRequests
from slad.storage.database import DATABASE_NAME

IMPORT_METHOD: Final = "/slad.v1.SlaBackend/ImportSlaTrackings"
ROWS_A_MESSAGE: Final = 500
SAMPLE_S: Final = 0.2
HOUR_S: Final = 3_600
AGE_S: Final = 5 * 24 * HOUR_S
"""The oldest ticket began so long ago."""

MIB: Final = 2**20


class Result(NamedTuple):
    """One import; sizes in bytes."""

    seconds: float
    resident: list[int]
    """Samples of the daemon's memory: the first before the import, the last after it."""
    on_disk: int
    """The database once the daemon has ended."""


def measure(number: int, disk: Path) -> Result:
    """Imports `number` trackings. Raises CalledProcessError when the client fails."""
    with tempfile.TemporaryDirectory(prefix="slad-benchmark-", dir=disk) as scratch:
        data = Path(scratch) / "data"
        with slad(data) as server:
            seconds, resident = import_into(server, number)
        return Result(seconds, resident, (data / DATABASE_NAME).stat().st_size)


def resident_bytes(pid: int) -> int:
    """What a process holds in memory (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def import_into(server: Server, number: int) -> tuple[float, list[int]]:
    """(seconds, samples of the daemon's memory) of an import by a client process."""
    resident = [resident_bytes(server.pid)]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_S):
            resident.append(resident_bytes(server.pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    command = [sys.executable, "-m", "benchmarks.import_million", "--into", server.target]
    try:
        client = subprocess.run(
            [*command, "--trackings", str(number)], check=True, stdout=subprocess.PIPE, text=True
        )
    finally:
        done.set()
        sampler.join()
    resident.append(resident_bytes(server.pid))
    return float(client.stdout), resident


def report(number: int, result: Result) -> Iterator[str]:
    """The figures, line by line."""
    resident = result.resident
    tenths = [resident[(len(resident) - 1) * tenth // 10] // MIB for tenth in range(11)]
    yield f"trackings        {number:,}"
    yield f"seconds          {result.seconds:,.1f}"
    yield f"trackings/s      {number / result.seconds:,.0f}"
    yield (
        f"RSS              start {resident[0] / MIB:.0f} MiB, max {max(resident) / MIB:.0f} MiB, "
        f"end {resident[-1] / MIB:.0f} MiB"
    )
    yield f"RSS by tenths    {' '.join(map(str, tenths))} MiB"
    yield f"database         {result.on_disk / MIB:,.0f} MiB, {result.on_disk / number:,.0f} bytes/ticket"


# --- the client


def stream_into(target: str, number: int) -> float:
    """Streams `number` rows; the seconds that it took, from the first row to the reply.

    They are serialized before, so that the client's core is not what is measured.
    """
    bodies = [message.SerializeToString() for message in _messages(_rows(number))]
    with grpc.insecure_channel(target) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        upload: grpc.StreamUnaryMultiCallable[bytes, rpc.ImportSlaTrackingsResponse] = channel.stream_unary(
            IMPORT_METHOD, response_deserializer=rpc.ImportSlaTrackingsResponse.FromString
        )
        begun = time.perf_counter()
        reply = upload(iter(bodies))
        seconds = time.perf_counter() - begun
    if reply.created != number:
        raise RuntimeError(f"{number} rows were sent, {reply.created} created, {reply.rejected[:1]}")
    return seconds


def _messages(rows: Iterator[rpc.SlaTrackingImport]) -> Iterator[rpc.ImportSlaTrackingsRequest]:
    message = rpc.ImportSlaTrackingsRequest()
    for row in rows:
        message.trackings.append(row)
        if len(message.trackings) == ROWS_A_MESSAGE:
            yield message
            message = rpc.ImportSlaTrackingsRequest()
    if message.trackings:
        yield message


def _rows(number: int) -> Iterator[rpc.SlaTrackingImport]:
    random, now = Random(0), int(time.time())
    template = rpc.StartSlaTrackingRequest.FromString(StartRequests(0, with_request_id=False).next())
    template.suppress_past = True
    for _ in range(number):
        row = rpc.SlaTrackingImport(start=template)
        # Random, as a PSA's ids are: in order, they would spare the database's indexes.
        row.start.ticket_id = f"{random.getrandbits(128):032x}"
        age = random.randrange(HOUR_S, AGE_S)
        row.start.started_at.FromSeconds(now - age)
        if random.random() < 0.3:
            pause = row.pauses.add(reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
            pause.paused_at.FromSeconds(now - age // 2)
            if random.random() < 0.5:
                pause.resumed_at.FromSeconds(now - age // 3)
        if random.random() < 0.5:
            row.response_completed_at.FromSeconds(now - age * 9 // 10)
        yield row


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trackings", type=int, default=1_000_000)
    parser.add_argument("--into", metavar="HOST:PORT", help="be the client of this server")
    parser.add_argument(
        "--disk",
        type=Path,
        default=Path("/var/tmp"),
        metavar="DIR",
        help="where slad's data directory is made; on a real disk, or durability costs nothing",
    )
    options = parser.parse_args()
    if options.into:
        print(stream_into(options.into, options.trackings))
    else:
        print("\n".join(report(options.trackings, measure(options.trackings, options.disk))))


if __name__ == "__main__":
    main()
