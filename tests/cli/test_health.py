"""`slad health --wait` waits until the daemon serves, not until it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from click.testing import CliRunner, Result
from grpc_health.v1 import health_pb2, health_pb2_grpc

from slad.cli import health
from slad.cli.main import main

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(health_pb2_grpc.HealthServicer):
    """Says one status after the other, the last one for good; None: the connection breaks."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)

    def Check(self, request: object, context: grpc.ServicerContext) -> health_pb2.HealthCheckResponse:  # noqa: N802
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return health_pb2.HealthCheckResponse(status=status)


@contextmanager
def serving(folder: Path, answers: Health) -> Iterator[Callable[..., Result]]:
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(answers, server)
    server.add_insecure_port(f"unix:{folder}/s")
    server.start()
    try:
        yield lambda *options: CliRunner().invoke(main, ["health", "--address", f"unix:{folder}/s", *options])
    finally:
        server.stop(None).wait()


@pytest.fixture(autouse=True)
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock of the command shows, one after the other."""
    left = [0.0] * 10
    clock = SimpleNamespace(monotonic=lambda: left.pop(0), sleep=lambda _: None)
    monkeypatch.setattr(health, "time", clock)
    return left


def test_it_waits_for_one_that_answers_but_does_not_serve(tmp_path: Path) -> None:
    with serving(tmp_path, Health(NOT_SERVING, None, NOT_SERVING, SERVING)) as slad:
        done = slad("--wait", "60s")
    assert (done.exit_code, done.stdout) == (0, "serving\n")


def test_at_the_end_it_says_what_was_answered(tmp_path: Path, seconds: list[float]) -> None:
    seconds[:] = [0.0, 0.0, 30.0, 60.0]
    with serving(tmp_path, Health(NOT_SERVING)) as slad:
        for options in (("--wait", "60s"), ()):
            done = slad(*options)
            assert (done.exit_code, done.stdout) == (4, "not serving\n")
    assert not seconds
