"""What the tests from outside share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.e2e.desk import MONDAY_9, Desk
from tests.system.e2e.slad_process import slad_process


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    listen = f"unix:{tmp_path}/slad.sock"
    with slad_process(
        "--listen", listen, "--data", f"{tmp_path}/data", "--virtual-clock", MONDAY_9
    ) as process:
        (address,) = process.addresses
        made = Desk(address)
        yield made
        made.channel.close()
