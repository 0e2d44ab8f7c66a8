"""The console in a real browser: every page, live, by keyboard, in the dark, on a phone, without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import tokens_pb2
from slad_client.v1 import types_pb2 as pb

from tests.console.browser import Reader, reader
from tests.console.conftest import Desk, desk_running
from tests.console.test_pages import token
from tests.slad_under_test import MONDAY_9, stamp

pytestmark = pytest.mark.slow

UPDATES = pb.SlaClockTerms(name="updates", kind=pb.SLA_CLOCK_KIND_PERIODIC_UPDATE, target_minutes=90)
BERLIN = pb.BusinessHoursSchedule(
    timezone="Europe/Berlin",
    entries=[
        pb.BusinessHoursEntry(day_of_week=day, start_time="09:00", end_time="17:00", is_enabled=True)
        for day in range(1, 6)
    ],
)

NOTHING: dict[str, Any] = {}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
DARK: dict[str, Any] = {"color_scheme": "dark"}
SCRIPTLESS: dict[str, Any] = {"java_script_enabled": False}


async def live_through_a_day(desk: Desk) -> None:
    """Tickets in every state, with a retraction, named clocks and a second generation."""
    slad = desk.slad
    await slad.start("T-1", schedule=BERLIN, clocks=[UPDATES], attributes={"team": "network"})
    await slad.start("T-2")
    await slad.start("T-3", policy_id="silver")
    await slad.advance(minutes=40)
    await slad.backend.PauseSla(
        rpc.PauseSlaRequest(ticket_id="T-2", reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
    )
    await slad.backend.RecordSlaMessage(
        rpc.RecordSlaMessageRequest(ticket_id="T-1", sender=pb.SLA_MESSAGE_SENDER_AGENT)
    )
    await slad.advance(minutes=50)
    # It has breached by now; a reply of an hour ago says that it has not.
    await slad.backend.CompleteSla(
        rpc.CompleteSlaRequest(
            ticket_id="T-3", phase=pb.SLA_PHASE_RESPONSE, effective_at=stamp(MONDAY_9 + 30 * 60_000)
        )
    )
    await slad.start("T-4")
    await slad.backend.CompleteSla(rpc.CompleteSlaRequest(ticket_id="T-4", phase=pb.SLA_PHASE_RESOLUTION))
    await slad.backend.ReopenSla(rpc.ReopenSlaRequest(ticket_id="T-4", mode=pb.REOPEN_MODE_RESUME))
    await slad.start("T-5")
    await slad.advance(minutes=70)


PAGES = {
    "now": ("/", "Next thresholds"),
    "a ticket": ("/t/acme/T-1", "updates"),
    "a paused ticket": ("/t/acme/T-2", "awaiting client"),
    "a retraction": ("/t/acme/T-3", "retracted later"),
    "a second generation": ("/t/acme/T-4?generation=1", "generation"),
    "a zoom": ("/t/acme/T-1?zoom=1h&at=2026-03-02T09:30:00Z", "earlier"),
    "what is found": ("/search?q=T", "Tickets whose ids begin with"),
    "what is not": ("/search?q=X", "No ticket begins with"),
    "a month": ("/report?tenant=acme&month=2026-03&by=clock", "kept"),
    "what was promised": ("/report/promises?tenant=acme&month=2026-03&figure=open_in_time", "T-1"),
    "delivery": ("/delivery", "Consumers"),
    "no such ticket": ("/t/acme/T-9", "TRACKING_NOT_FOUND"),
}


@pytest.mark.parametrize(
    "how", [NOTHING, DARK, PHONE, SCRIPTLESS], ids=["light", "dark", "phone", "no script"]
)
async def test_every_page_is_whole_and_without_a_barrier(tmp_path: Path, how: dict[str, Any]) -> None:
    async with desk_running(tmp_path) as desk, reader(**how) as it:
        await live_through_a_day(desk)
        for name, (path, told) in PAGES.items():
            await it.page.goto(desk.url + path)
            text = await it.page.inner_text("body")
            assert told in text, name
            if how is PHONE:
                width = await it.page.evaluate("document.documentElement.scrollWidth")
                assert width <= 360, f"{name}: it scrolls sideways"
            if how is not SCRIPTLESS:
                assert await it.barriers() == [], name
        # The browser itself tells of pages that are not there.
        assert [line for line in it.complaints if "404" not in line] == []


async def test_the_form_that_asks_for_a_token_is_without_a_barrier(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk, reader() as it:
        await live_through_a_day(desk)
        secret = await token(tmp_path, role=tokens_pb2.SLA_ROLE_READ)
        await it.page.goto(f"{desk.url}/t/acme/T-1")
        assert await it.barriers() == []
        await it.page.fill("#token", "slad_wrong")
        await it.page.keyboard.press("Enter")
        await it.page.wait_for_selector("text=TOKEN_INVALID")
        await it.page.goto(f"{desk.url}/t/acme/T-1")
        await it.page.fill("#token", secret)
        await it.page.keyboard.press("Enter")
        await it.page.wait_for_selector("svg.timeline")
        await it.page.wait_for_selector("text=Live.")
        await it.page.click("text=Sign out")
        await it.page.wait_for_selector("text=TOKEN_REQUIRED")


async def test_what_happens_shows_by_itself(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk, reader() as it:
        await live_through_a_day(desk)
        await shown(it, f"{desk.url}/t/acme/T-1")
        await it.page.evaluate("window.same = true")
        await it.page.focus("#zoom-1h")
        await it.page.evaluate("document.querySelector('code.command').dataset.old = 'yes'")
        await desk.slad.backend.PauseSla(
            rpc.PauseSlaRequest(ticket_id="T-1", reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)
        )
        await it.page.wait_for_selector(".badge.paused")
        await it.page.wait_for_selector("code.command:not([data-old])")
        assert await it.page.evaluate("window.same"), "it was not loaded again"
        assert await it.page.evaluate("document.activeElement.id") == "zoom-1h", "where the reader was"

        await shown(it, f"{desk.url}/")
        await it.page.evaluate("window.same = true")
        await desk.slad.start("T-NEW", policy_id="gold")
        await it.page.wait_for_selector("text=T-NEW")
        before = await it.page.inner_text("time.countdown >> nth=0")
        await desk.slad.advance(minutes=3)
        await it.page.wait_for_function(
            "before => document.querySelector('time.countdown').innerText !== before", arg=before
        )
        assert await it.page.evaluate("window.same")


async def shown(it: Reader, url: str) -> None:
    await it.page.goto(url)
    await it.page.wait_for_selector("text=Live.")


async def test_thresholds_are_counted_down(tmp_path: Path) -> None:
    async with desk_running(tmp_path, now=None) as desk, reader() as it:
        target = pb.SlaPolicyTarget(resolution_time_minutes=200, is_24x7=True)
        await desk.slad.start("T-1", targets=[target])
        await it.page.goto(f"{desk.url}/")
        seen = await it.page.inner_text("time.countdown")
        await it.page.wait_for_function(
            "seen => /^in \\d:\\d\\d:\\d\\d$/.test(document.querySelector('time.countdown').innerText)"
            " && document.querySelector('time.countdown').innerText < seen",
            arg="in 1:39:59",
        )
        assert seen


async def test_a_search_by_keyboard_leads_to_the_ticket(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk, reader() as it:
        await live_through_a_day(desk)
        await it.page.goto(f"{desk.url}/")
        await it.page.keyboard.press("Tab")
        assert await it.page.evaluate("document.activeElement.className") == "skip"
        await it.page.keyboard.press("/")
        await it.page.keyboard.type("T-3")
        await it.page.keyboard.press("Enter")
        await it.page.wait_for_url("**/t/acme/T-3")
        await it.page.goto(f"{desk.url}/search?q=T")
        await it.page.click("text=T-2")
        await it.page.wait_for_url("**/t/acme/T-2")


async def test_the_window_is_zoomed_and_moved(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk, reader() as it:
        await live_through_a_day(desk)
        await it.page.goto(f"{desk.url}/t/acme/T-1")
        labels = [await axis(it)]
        for link in ("#zoom-6h", "#zoom-10m", "#earlier", "#zoom-1mo", "#zoom-all"):
            await follow(it, link)
            labels.append(await axis(it))
        assert len({tuple(label) for label in labels[:-1]}) == len(labels) - 1, "each is another window"
        assert labels[-1] == labels[0]
        assert "02 Mar" in labels[4]


async def follow(it: Reader, selector: str) -> None:
    """Clicks what leads to another page, and returns when that page is there."""
    async with it.page.expect_navigation():
        await it.page.click(selector)


async def axis(it: Reader) -> list[str]:
    return await it.page.eval_on_selector_all(
        "svg.timeline > text.ink:not([font-weight])", "all => all.map(one => one.textContent)"
    )


@pytest.mark.parametrize("how", [NOTHING, SCRIPTLESS], ids=["with a script", "without"])
async def test_times_are_in_the_zone_that_is_chosen(tmp_path: Path, how: dict[str, Any]) -> None:
    async with desk_running(tmp_path) as desk, reader(**how) as it:
        await live_through_a_day(desk)
        await it.page.goto(f"{desk.url}/t/acme/T-1")
        started = "dl.facts time >> nth=0"
        if how is NOTHING:
            await it.page.wait_for_selector("text=your zone (Asia/K")
            assert "14:45:00" in await it.page.inner_text(started), "Kathmandu is 5:45 ahead"
        else:
            assert "10:00:00 CET" in await it.page.inner_text(started)
        for link, told in (("#zone-utc", "09:00:00 UTC"), ("#zone-schedule", "10:00:00 CET")):
            await follow(it, link)
            assert told in await it.page.inner_text(started)
        await it.page.fill("#zone", "America/New_York")
        await follow(it, "footer button")
        assert "04:00:00 EST" in await it.page.inner_text(started)
        await it.page.fill("#zone", "Mars")
        await it.page.click("footer button")
        await it.page.wait_for_selector("text=UNKNOWN_TIME_ZONE")


async def test_light_and_dark_follow_the_system(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk, reader() as it:
        await live_through_a_day(desk)
        for path in ("/t/acme/T-1", "/t/acme/T-1/timeline.svg"):
            await it.page.goto(desk.url + path)
            grounds = []
            for scheme in ("light", "dark"):
                await it.page.emulate_media(color_scheme=scheme)
                # In one step, as a live page replaces its picture at any moment.
                grounds.append(
                    await it.page.evaluate("getComputedStyle(document.querySelector('.ground')).fill")
                )
            assert grounds == ["rgb(255, 255, 255)", "rgb(18, 23, 29)"], path
        assert it.complaints == [], "the picture's own style is let through"


async def test_a_command_is_copied(tmp_path: Path) -> None:
    async with desk_running(tmp_path) as desk, reader() as it:
        await live_through_a_day(desk)
        await it.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await shown(it, f"{desk.url}/t/acme/T-1")
        await it.page.click("button.copy >> nth=0")
        await it.page.wait_for_selector("text=copied")
        copied = await it.page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("slad explain acme T-1 --audit --address 127.0.0.1:")


async def test_a_name_that_is_a_script_stays_a_name(tmp_path: Path) -> None:
    name = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    async with desk_running(tmp_path) as desk, reader() as it:
        await desk.slad.start(name, tenant_id=name, policy_id=name, attributes={name: name})
        await it.page.goto(f"{desk.url}/search")
        await it.page.goto(f"{desk.url}/")
        await it.page.click("#timer-1")
        await it.page.wait_for_selector("text=Live.")
        assert name in await it.page.inner_text("h1")
        assert "owned" not in (await it.page.title()).replace(name, "")
        assert await it.page.evaluate("document.querySelectorAll('main img, main script').length") == 0
        assert it.complaints == []


async def test_a_page_says_when_it_is_not_live_any_more(tmp_path: Path) -> None:
    async with reader() as it:
        async with desk_running(tmp_path) as desk:
            await desk.slad.start("T-1")
            await shown(it, f"{desk.url}/")
        await it.page.wait_for_function(
            "/lost|Not live/.test(document.getElementById('connection').textContent)"
        )
