"""What a batch looks up at once is what its commands would have found one by one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from slad.core.errors import Refused
from slad.core.events import PauseReason
from slad.engine.commands import Cancel, Complete, OnExisting, Pause, RequestIdentity, Start
from slad.engine.time_source import VirtualClock
from tests.engine.test_engine import NOW, promise, rig, until


def start(ticket_id: str, request_id: str = "", on_existing: OnExisting = OnExisting.KEEP) -> Start:
    return Start(
        tenant_id="acme",
        ticket_id=ticket_id,
        policy_id="p",
        terms=promise(60),
        request=RequestIdentity("acme", request_id, b"start") if request_id else None,
        on_existing=on_existing,
    )


async def test_commands_of_one_batch_see_each_other_and_what_was_there(tmp_path: Path) -> None:
    async with rig(tmp_path, VirtualClock(NOW)) as slad:
        await slad.ask(start("old", "r-old"))
        await slad.ask(Cancel(tenant_id="acme", ticket_id="old"))
        slad.journal.gate.clear()
        first = asyncio.create_task(slad.ask(start("holds the writer up")))
        await asyncio.sleep(0)
        batch = [
            start("old", on_existing=OnExisting.CONTINUE_CANCELLED),
            Pause(tenant_id="acme", ticket_id="old", reason=PauseReason.AWAITING_CLIENT),
            start("new", "r-new"),
            Complete(tenant_id="acme", ticket_id="new", clock="response"),
            Complete(tenant_id="", ticket_id="new", clock="resolution"),
            start("new"),
        ]
        asking = [asyncio.create_task(slad.ask(command)) for command in batch]
        repeated = asyncio.create_task(slad.engine.submit(start("old", "r-old"), lambda answer: b"other"))
        again = asyncio.create_task(slad.engine.submit(start("new", "r-new"), lambda answer: b"other"))
        await until(lambda: slad.engine.waiting == len(batch) + 2)
        slad.journal.gate.set()
        await first
        answers = await asyncio.gather(*asking)
        assert [(*a.ticket[1:], a.changed) for a in answers] == [
            ("old", 2, True),
            ("old", 2, True),
            ("new", 1, True),
            ("new", 1, True),
            ("new", 1, True),
            ("new", 2, True),
        ]
        assert await repeated == await again == b""  # the first answers, not another one
        assert len(slad.journal.batches) == 4


async def test_a_request_id_of_other_content_is_refused_within_a_batch(tmp_path: Path) -> None:
    async with rig(tmp_path, VirtualClock(NOW)) as slad:
        slad.journal.gate.clear()
        first = asyncio.create_task(slad.ask(start("holds the writer up")))
        await asyncio.sleep(0)
        one = asyncio.create_task(slad.ask(start("T-1", "r")))
        other = Pause(
            tenant_id="acme",
            ticket_id="T-1",
            reason=PauseReason.STATUS_PAUSE,
            request=RequestIdentity("acme", "r", b"pause"),
        )
        two = asyncio.create_task(slad.ask(other))
        await until(lambda: slad.engine.waiting == 2)
        slad.journal.gate.set()
        await asyncio.gather(first, one)
        with pytest.raises(Refused, match="was used for a different request"):
            await two
