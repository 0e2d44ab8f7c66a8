"""A real browser: Debian's chromium, without a window, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

NAMES = ("chromium", "chromium-browser", "google-chrome")

PATIENCE_MS = 120_000
"""How long a page may take; it is not what is tested."""


def browser_path() -> str:
    """Where the browser is; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs a browser: install chromium (apt-get install chromium)")
    return found


def axe_script() -> str:
    """What looks for barriers; skips the test where it is not installed."""
    if not AXE.exists():
        pytest.skip("needs axe-core: npm install, in tests/console")
    return AXE.read_text("utf-8")


@dataclass
class Reader:
    """Somebody with a browser, and what the browser had to complain of."""

    context: Any
    page: Any
    complaints: list[str] = field(default_factory=list)

    def hear(self, line: Any) -> None:
        """Notes what the browser writes to its console."""
        if line.type in ("error", "warning"):
            self.complaints.append(line.text)

    async def barriers(self) -> list[str]:
        """What axe-core finds wrong with the page that is shown."""
        await self.page.evaluate(axe_script())
        found = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {violation['help']}: {[node['html'] for node in violation['nodes']]}"
            for violation in found["violations"]
        ]


@asynccontextmanager
async def reader(**context: Any) -> AsyncIterator[Reader]:
    """A browser with the options of a Playwright context, and one page in it."""
    path = browser_path()
    from playwright.async_api import async_playwright  # noqa: PLC0415 - it may be absent where there is no browser

    async with async_playwright() as playwright:
        # In a container there is nothing to be sandboxed from, and root may not.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            usual = {"locale": "en-GB", "timezone_id": "Asia/Kathmandu"}
            opened = await browser.new_context(**usual | context)
            opened.set_default_timeout(PATIENCE_MS)
            page = await opened.new_page()
            it = Reader(opened, page)
            page.on("pageerror", lambda error: it.complaints.append(str(error)))
            page.on("console", it.hear)
            yield it
        finally:
            await browser.close()
