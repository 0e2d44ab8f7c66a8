"""Temporal's two servers for tests: the one whose time is moved, and the dev server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.temporal.recording import Recorder, recording


@pytest.fixture
async def daemon() -> AsyncIterator[Recorder]:
    """Takes reports as the daemon does."""
    async with recording() as recorder:
        yield recorder
