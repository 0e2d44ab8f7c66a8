"""A session at a real terminal, as someone on duty at night would have it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.e2e.slad_process import SladProcess
from tests.system.e2e.test_cli_tickets import Desk
from tests.system.terminal.terminal import PROMPT, Terminal, terminal

MONDAY_9_IN_BERLIN = "2026-03-02T08:00:00Z"
RED, GREEN = "\x1b[1m\x1b[31m", "\x1b[32m"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("t")  # a short name: sockets have little room for one


@pytest.fixture
def screen(folder: Path) -> Iterator[Terminal]:
    with terminal(folder, 110, 50) as made:
        made.run("export SLAD_ADDRESS=unix:slad.sock")
        yield made


def daemon(folder: Path) -> SladProcess:
    arguments = ("--listen", f"unix:{folder}/slad.sock", "--data", f"{folder}/data")
    return SladProcess(*arguments, "--virtual-clock", MONDAY_9_IN_BERLIN).wait_ready()


@pytest.fixture
def desk(folder: Path) -> Iterator[Desk]:
    running = daemon(folder)
    made = Desk(f"unix:{folder}/slad.sock")
    yield made
    made.channel.close()
    running.terminate()


BERLIN = '--hours "Mon-Fri 09:00-17:00" --tz Europe/Berlin'


def test_a_night_at_the_desk(screen: Terminal, desk: Desk) -> None:
    told = screen.run(f"slad start acme T-1 --response 1h --target 10h {BERLIN}")
    assert "T-1: started" in told
    assert "Mon 2026-03-02 14:30 IST (10:00 CET), in 1 h" in told, "the zone of the user, then the schedule's"

    desk.advance(3 * 3600)
    told = screen.run("slad status T-1")
    assert "acme T-1  response-breached" in told
    assert "over by 2 h" in told
    assert re.search(re.escape(RED) + "response-breached", screen.screen(colours=True))
    assert all(len(line) <= 110 for line in told.splitlines())

    told = screen.run("slad explain T-1")
    (row,) = [line for line in told.splitlines() if line.startswith("Mon 02 Mar")]
    assert row[12:44] == "██◆◆✖███████┃░░░░░░░◇░░░░░░░░░◇░"
    assert "✖ response 100 %, breach 10:00" in told, "what has no room is wrapped, not cut"
    assert "◇ resolution 75 % 16:30" in told
    assert "█ counted  ░ will count  ▒ paused" in told

    assert f"{GREEN}█" in screen.screen(colours=True)

    told = screen.run("slad list --status response-breached; NO_COLOR=1 slad list")
    assert told.count("acme    T-1     response-breached  over by 2 h") == 2


def test_events_arrive_on_the_screen_also_over_a_restart(screen: Terminal, folder: Path) -> None:
    running = daemon(folder)
    desk = Desk(f"unix:{folder}/slad.sock")
    desk("start", "acme", "T-1", "--24x7", "--response", "1h")
    screen.type("", "C-l")
    screen.type("slad watch --after 0", "Enter")
    screen.wait_for("acme T-1  started$")
    desk.advance(1800)
    screen.wait_for("acme T-1  threshold-reached  response 50 %$")
    running.terminate()
    screen.wait_for(r"^slad: the daemon at unix:slad.sock is away; waiting for it$")
    running = daemon(folder)
    desk("start", "acme", "T-2", "--24x7", "--response", "1h")
    shown = screen.wait_for("acme T-2  started$")
    assert shown.count("acme T-1  started") == 1
    assert shown.count("is away") == shown.count("slad: the daemon is back\n") == 1
    screen.type("", "C-c")
    screen.wait_for(rf"^\^?C?{PROMPT}\s*\Z")
    assert "Traceback" not in screen.screen()
    assert "\n130\n" in screen.run("echo $?")
    desk.channel.close()
    assert running.terminate() == 0


def test_completion_by_the_tab_key(screen: Terminal, desk: Desk) -> None:
    desk("start", "acme", "T-900", "--24x7", "--response", "1h")
    screen.run('eval "$(slad completion bash)"')
    screen.type("", "C-l")
    screen.type("slad expl", "Tab")
    screen.wait_for(rf"^{PROMPT} slad explain$")
    screen.type("T-9", "Tab")
    screen.wait_for(rf"^{PROMPT} slad explain T-900$")
    screen.type("", "Enter")
    screen.wait_for("around the clock")
    screen.type("", "C-l")
    screen.type("slad st", "Tab", "Tab", "Tab")
    screen.wait_for("start +status|status +start")


def test_an_import_shows_how_far_it_is(screen: Terminal, desk: Desk, folder: Path) -> None:
    rows = "".join(f"acme,T-{number},60,true\n" for number in range(500))
    (folder / "rows.csv").write_text("tenant_id,ticket_id,response_time_minutes,is_24x7\n" + rows)
    # Whoever writes into the pipe takes their time, so the bar is there to be seen.
    screen.run("mkfifo slow")
    screen.type("(cat rows.csv; read line < slow) | slad import - --format csv", "Enter")
    screen.wait_for(r"importing .* \d+/\? ")
    (folder / "slow").write_text("go on\n")
    shown = screen.wait_for("500 created, 0 existed already, 0 rejected")
    assert "importing" not in shown, "the bar goes when it is done"


def test_a_narrow_screen_loses_nothing_that_matters(screen: Terminal, desk: Desk) -> None:
    desk("start", "a-tenant-with-a-long-name", "T-1", "--24x7", "--response", "1h")
    screen.resize(60, 40)
    shown = screen.run("slad status T-1; slad list")
    assert "next: response 50 % in 30 min" in shown
    assert "on-track" in shown
    assert all(len(line) <= 60 for line in shown.splitlines())


def test_what_goes_wrong_is_one_line(screen: Terminal) -> None:
    shown = screen.run("slad status T-1; echo exit code $?")
    assert (
        "slad: no daemon answers at unix:slad.sock; start it with `slad serve`, or give --address\n" in shown
    )
    assert "exit code 4\n" in shown
    assert "exit code 2\n" in screen.run("slad statsu; echo exit code $?")
    assert "Traceback" not in screen.screen()


def test_a_daemon_without_tickets_says_what_to_type_next(screen: Terminal) -> None:
    screen.type("slad serve --listen unix:slad.sock --data fresh", "Enter")
    shown = screen.wait_for(r"watch --after 0")
    assert re.search(r"start acme T-1 --24x7 --response 1m --address\s+unix:slad.sock", shown)
    screen.type("", "C-c")
    screen.wait_for(rf"stopped.*\s+{PROMPT}\s*\Z")


def test_the_demo_plays_a_day(screen: Terminal) -> None:
    screen.type("", "C-l")
    screen.type("slad demo --seconds 3", "Enter")
    screen.wait_for(r"Monday \d\d:\d\d CET +a small service desk in Berlin")
    shown = screen.wait_for(r"DESK-103 +critical +[a-z-]+ +█+")
    assert re.search(r"acme DESK-\d+  threshold-reached", shown)
    shown = screen.wait_for(rf"^{PROMPT}\s*\Z")
    assert "Why did DESK-103 breach?" in shown
    assert "✖" in shown


def test_the_demo_can_be_left_and_leaves_nothing_behind(screen: Terminal, folder: Path) -> None:
    screen.type("", "C-l")
    screen.type("TMPDIR=$PWD slad demo --seconds 60", "Enter")
    screen.wait_for("a small service desk in Berlin")
    (socket,) = folder.glob("slad-demo-*/slad.sock")
    screen.type("", "C-c")
    screen.wait_for(rf"{PROMPT}\s*\Z")
    assert "Traceback" not in screen.screen()
    assert not socket.parent.exists()
