"""A daemon with a console, and one who looks at its pages without a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from slad.config.settings import ConsoleSettings
from tests.slad_under_test import Slad, daemon_running


@dataclass
class Desk:
    """A daemon under the virtual clock, and the address of its console."""

    slad: Slad
    url: str
    session: aiohttp.ClientSession

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        """(status, text) of a page."""
        async with self.session.get(f"{self.url}{path}", allow_redirects=False, **options) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def desk_running(data: Path, **settings: Any) -> AsyncIterator[Desk]:
    console = ConsoleSettings(listen="127.0.0.1:0")
    async with (
        daemon_running(data, **{"console": console, **settings}) as slad,
        aiohttp.ClientSession() as session,
    ):
        yield Desk(slad, slad.daemon.console_address.rstrip("/"), session)
