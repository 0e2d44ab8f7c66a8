"""The suites that run against every engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests import slad_under_test


@pytest.fixture(scope="session")
def temporal_servers() -> Iterator[object]:
    """The process of Temporal's test servers."""
    pytest.importorskip("temporalio", reason="install it: pip install 'slad[temporal]'")
    from tests.temporal.on_temporal import test_servers  # noqa: PLC0415

    with test_servers() as servers:
        yield servers


@pytest.fixture(params=["local", "temporal"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Who carries the tickets of the test."""
    if request.param == "local":
        yield "local"
        return
    servers = request.getfixturevalue("temporal_servers")
    from tests.temporal.on_temporal import OnTemporal  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        with slad_under_test.variant(OnTemporal(servers, stack).running):
            yield "temporal"
