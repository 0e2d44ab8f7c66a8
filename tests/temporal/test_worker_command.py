"""`slad temporal-worker` as a process: what it says when it cannot start, and how it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from slad.core.instants import HOUR_MS
from slad.engine.time_source import WallClock
from tests.core.tickets import terms
from tests.ports import own_port
from tests.temporal.dev_server import DevServer, dev_server, eventually
from tests.temporal.processes import COMMAND, worker_process
from tests.temporal.recording import Recorder
from tests.temporal.sladian import Ticket
from tests.temporal.time_skipping import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as running:
        yield running


async def run(*arguments: str) -> tuple[int | None, str]:
    """(exit code, what it wrote) of a worker that is to end by itself."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "temporal-worker",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


async def test_without_temporal_it_says_so_and_ends_with_3() -> None:
    address = f"127.0.0.1:{own_port()}"
    code, said = await run(f"--temporal-address={address}")
    assert (code, said) == (3, f"slad: Temporal cannot be reached at {address}: nothing listens there\n")


async def test_a_namespace_that_is_missing_is_named_before_any_task_is_taken(server: DevServer) -> None:
    await server.client()
    code, said = await run(f"--temporal-address={server.address}", "--temporal-namespace=nowhere")
    assert (code, said) == (3, f"slad: Temporal at {server.address} has no namespace 'nowhere'\n")


async def test_a_metrics_address_that_cannot_be_used_is_named() -> None:
    code, said = await run("--worker-metrics=nonsense")
    assert code == 3
    assert said.startswith("slad: metrics cannot be served at 'nonsense'")
    assert "Traceback" not in said


async def test_a_setting_that_cannot_be_meant_is_a_wrong_configuration() -> None:
    code, said = await run("--max-cached-workflows=-1")
    assert code == 2
    assert "--max-cached-workflows" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_it_ends_cleanly_when_it_is_told_to(
    server: DevServer, daemon: Recorder, number: signal.Signals
) -> None:
    """After it has worked, so that threads of Temporal's client are in the middle of their calls."""
    client = await server.client()
    metrics = f"127.0.0.1:{own_port()}"
    name = f"ends-{number.name}"
    async with worker_process(server.address, daemon.port, name, f"--worker-metrics={metrics}") as process:
        ticket = Ticket(client, WallClock().now() - HOUR_MS, name, queue=name)
        await ticket.start(terms(60, None, (50,)))
        await until(lambda: daemon.of(name) == [("response", 50), ("response", 100)])
        text = await asyncio.to_thread(_read, f"http://{metrics}/metrics")
        assert f'task_queue="{name}"' in text
        process.send_signal(number)
        async with asyncio.timeout(60):
            assert await process.wait() == 0


async def test_what_a_stopped_worker_has_begun_another_one_ends(server: DevServer, daemon: Recorder) -> None:
    """Two workers on one queue; one is stopped while thresholds are on their way."""
    client = await server.client()
    tickets = [
        Ticket(client, WallClock().now() - HOUR_MS, f"two-{number}", queue="two") for number in range(20)
    ]
    async with (
        worker_process(server.address, daemon.port, "two") as first,
        worker_process(server.address, daemon.port, "two"),
    ):
        for ticket in tickets:
            await ticket.start(terms(60, None, (50,)))
        await until(lambda: len(daemon.reports) > 0)
        first.terminate()
        async with asyncio.timeout(60):
            assert await first.wait() == 0

        async def all_told() -> bool:
            states = [await ticket.state() for ticket in tickets]
            return all(state["notifiedThresholds"]["response"] == [50, 100] for state in states)

        await eventually(all_told)
        await until(lambda: {report.ticket_id for report in daemon.reports} == {t.ticket_id for t in tickets})
    for ticket in tickets:
        # A report whose answer the first one did not live to hear may come again; the daemon knows it then.
        assert set(daemon.of(ticket.ticket_id)) == {("response", 50), ("response", 100)}


def _read(url: str) -> str:
    with urlopen(url, timeout=60) as reply:
        return str(reply.read().decode())
