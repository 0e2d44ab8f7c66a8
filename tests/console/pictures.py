"""Takes the pictures of the pages for the documents: `python -m tests.console.pictures`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen

from tests.console.browser import reader
from tests.paths import ROOT

IMAGES = ROOT / "docs" / "images"

PAGES = {
    "console-now": ("", "light", 900, 640),
    "console-ticket": ("t/acme/DESK-103", "light", 900, 760),
    "console-ticket-dark": ("t/acme/DESK-102?zoom=1d", "dark", 900, 760),
}
"""File → the page, its colours, and how much of it is shown."""


@contextmanager
def demo() -> Iterator[str]:
    """The address of the console of `slad demo`, at noon."""
    command = [sys.executable, "-m", "slad", "demo", "--console", "--seconds", "3600"]
    with Popen(command, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = next(line.split()[-1] for line in process.stdout if "http://" in line)
            yield url
        finally:
            process.terminate()


async def take(url: str) -> None:
    """Takes all of them."""
    for name, (path, scheme, width, height) in PAGES.items():
        look = {"color_scheme": scheme, "viewport": {"width": width, "height": height}}
        async with reader(**look, timezone_id="Europe/Berlin", device_scale_factor=1) as it:
            await it.page.goto(url + path)
            await it.page.wait_for_selector("text=Live.")
            await it.page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    with demo() as url:
        asyncio.run(take(url))
