"""The commands about tickets, against a real daemon on the virtual clock."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc

from slad.cli.main import main
from tests.system.e2e.desk import BERLIN, MONDAY_9, OFFICE, Desk
from tests.system.e2e.slad_process import COMMAND, slad_process


def test_the_life_of_a_ticket(desk: Desk) -> None:
    told = desk("start", "acme", "T-1", "--response", "1h", "--target", "10h", *OFFICE, "--policy", "gold")
    assert told.splitlines()[0] == "T-1: started"
    desk.advance(1800)
    assert desk("complete", "T-1", "--phase", "response", "--missed").startswith(
        "T-1: response met, reported as missed"
    )
    assert desk("pause", "T-1").startswith("T-1: paused\n")
    assert desk("pause", "T-1").startswith("T-1: already paused; nothing changed")
    assert "paused (awaiting-client)" in desk("status", "T-1")
    desk.advance(1800)
    assert desk("resume", "acme", "T-1", "--at", "2026-03-02T09:45Z").startswith("T-1: resumed\n")
    status = desk.json("status", "T-1")
    assert status["total_pause_minutes"] == "15"
    assert status["is_paused"] is False
    assert status["resolution"]["elapsed"] == "2700s"
    told = desk("retarget", "T-1", "--response", "1h", "--target", "5h", *OFFICE, "--priority", "high")
    assert told.startswith("T-1: retargeted\n")
    assert desk.json("status", "T-1")["priority_id"] == "high"
    assert desk("complete", "T-1").startswith("T-1: resolution met\n")
    assert desk("reopen", "T-1", "--mode", "resume").startswith("T-1: reopened\n")
    assert desk("cancel", "T-1").startswith("T-1: cancelled\n")
    assert desk("cancel", "T-1").startswith("T-1: already cancelled")
    assert "generation 2" in desk("status", "T-1")
    assert desk.json("status", "T-1", "--generation", "1")["state"] == "SLA_TRACKING_STATE_COMPLETED"


def test_times_are_in_the_zone_of_the_user_with_that_of_the_schedule(desk: Desk) -> None:
    desk("start", "acme", "T-1", "--response", "1h", *BERLIN, "--start", "2026-03-02T09:30")
    told = desk("status", "T-1", tz="Asia/Kolkata")
    assert "Mon 2026-03-02 15:00 IST (10:30 CET), in 30 min" in told
    assert "(10:00 CET)" not in desk("status", "T-1", tz="Europe/Paris")


def test_a_start_takes_a_file_and_options_before_it(desk: Desk, tmp_path: Path) -> None:
    policy = tmp_path / "gold.yaml"
    policy.write_text(
        "policy_id: gold\n"
        "targets:\n"
        "- {priority_id: high, response_time_minutes: 30}\n"
        "- {priority_id: low, response_time_minutes: 90}\n"
        "schedule: {hours: 'Mon-Fri 09:00-17:00', timezone: UTC, holidays: [yearly 12-25 Christmas Day]}\n"
        "attributes: {queue: net}\n"
    )
    desk("start", "acme", "T-1", "-f", str(policy), "--priority", "low", "--attribute", "b=x=y")
    status = desk.json("status", "T-1")
    assert (status["policy_id"], status["response"]["target"]) == ("gold", "5400s")
    assert status["attributes"] == {"queue": "net", "b": "x=y"}
    desk(
        "start", "acme", "T-2", "-f", "-", "--escalate", "80,120", "--notify", "20", stdin=policy.read_text()
    )
    percents = [t["percent"] for t in desk.json("status", "T-2")["response"]["thresholds"]]
    assert percents == [20, 80, 100, 120]


def test_lists(desk: Desk) -> None:
    for number, minutes in enumerate((300, 30, 100), start=1):
        desk("start", "acme", f"T-{number}", "--24x7", "--response", f"{minutes}m")
    desk("pause", "T-2")
    tickets = [line.split()[1] for line in desk("list").splitlines()[1:]]
    assert tickets == ["T-1", "T-2", "T-3"]
    by_due = [line.split()[1] for line in desk("list", "--sort", "due").splitlines()[1:]]
    assert by_due == ["T-2", "T-3", "T-1"]
    limited = desk.run("list", "--limit", "2")
    assert len(limited.stdout.splitlines()) == 3
    assert limited.stderr == "slad: more than 2 tickets match; --limit 0 shows all\n"
    assert len(desk("list", "--status", "paused,at-risk").splitlines()) == 2
    desk("cancel", "T-1")
    assert len(desk("list").splitlines()) == 3
    assert len(desk("list", "--state", "all", "--tenant", "acme").splitlines()) == 4
    assert [json.loads(line)["ticket_id"] for line in desk("list", "--json").splitlines()] == ["T-2", "T-3"]
    due = desk("list", "--due-before", "2026-03-02T09:45Z").splitlines()[1:]
    assert [line.split()[1] for line in due] == ["T-2"]
    within = desk("list", "--due-within", "45m").splitlines()[1:]
    assert [line.split()[1] for line in within] == ["T-2"], "by the daemon's clock, which is virtual here"


def test_the_list_by_due_date_has_that_date_at_any_width(desk: Desk) -> None:
    for number, minutes in enumerate((300, 30), start=1):
        desk("start", "acme", f"T-{number}", "--24x7", "--response", f"{minutes}m")
    done = subprocess.run(
        ["script", "-qec", f"stty cols 80; {COMMAND} list --sort due", "/dev/null"],
        env={**os.environ, "SLAD_ADDRESS": desk.address, "TZ": "UTC", "NO_COLOR": "1", "LANG": "C.UTF-8",
             "TERM": "xterm"},
        capture_output=True, text=True, timeout=60, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    told = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    header, first, *_ = told.splitlines()
    assert header.split() == ["TENANT", "TICKET", "STATUS", "DUE", "RESPONSE", "RESOLUTION"]
    assert first.split()[:3] == ["acme", "T-2", "on-track"]
    assert "Mon 2026-03-02 09:30 UTC" in first


def test_the_forms_of_the_output(desk: Desk) -> None:
    desk("start", "acme", "T-1", "--24x7", "--response", "1h")
    desk("start", "acme corp", "T-2", "--24x7", "--response", "1h")
    assert desk("list", "-o", "id") == "acme T-1\n'acme corp' T-2\n"
    assert desk("status", "T-2", "-o", "id") == "'acme corp' T-2\n"
    assert desk("status", "T-1", "-o", "json") == desk("status", "T-1", "--json")
    assert yaml.safe_load(desk("status", "T-1", "-o", "yaml")) == desk.json("status", "T-1")
    documents = list(yaml.safe_load_all(desk("list", "-o", "yaml")))
    assert documents == [json.loads(line) for line in desk("list", "--json").splitlines()]
    assert yaml.safe_load(desk("consumers", "list", "-o", "yaml")) == []
    assert desk("watch", "--after", "0", "--count", "2", "-o", "id") == "1\n2\n"
    assert "NEXT" in desk("list", "-o", "wide").splitlines()[0]
    assert "contradict" in desk.fails(2, "list", "--json", "-o", "yaml")
    assert "'xml' is not one of" in desk.fails(2, "list", "-o", "xml")


def test_a_reader_that_has_enough_ends_a_watch_without_an_error(desk: Desk) -> None:
    for number in range(300):
        desk("start", "acme", f"T-{number}", "--24x7", "--response", "1h")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{COMMAND} watch --after 0 | head -1"],
        env={"SLAD_ADDRESS": desk.address, "TZ": "UTC", "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("acme T-0  started\n")


def test_help_and_version_are_commands_too() -> None:
    def run(*words: str) -> Result:
        return CliRunner().invoke(main, words, prog_name="slad")

    assert run("help").stdout == run("--help").stdout
    assert run("help", "tokens", "create").stdout == run("tokens", "create", "--help").stdout
    assert "Usage: slad tokens create [OPTIONS]" in run("help", "tokens", "create").stdout
    assert run("version").stdout == run("--version").stdout
    assert "did you mean 'status'" in run("help", "stauts").stderr
    assert "'slad status' has no commands of its own" in run("help", "status", "x").stderr
    assert "[env var: SLAD_ADDRESS]" in " ".join(run("help", "status").stdout.split())


def test_an_export_does_not_pretend_to_write_a_workbook(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "desk.xlsx"
    assert "slad reads and writes .jsonl and .csv" in desk.fails(2, "export", "-o", str(file))
    assert not file.exists()
    file.write_bytes(b"PK")
    assert "slad reads and writes .jsonl and .csv" in desk.fails(2, "import", str(file))


def test_explain_draws_what_was_and_what_is_to_come(desk: Desk) -> None:
    desk("start", "acme", "T-1", "--response", "1h", "--target", "10h", *OFFICE)
    desk.advance(25 * 3600)
    told = desk("explain", "T-1")
    lines = told.splitlines()
    (monday,) = [line for line in lines if line.startswith("Mon 02 Mar")]
    (tuesday,) = [line for line in lines if line.startswith("Tue 03 Mar")]
    assert monday[12:44] == "██◆◆✖███████████████◆█████████◆█"
    assert tuesday[12:44].rstrip() == "████┃░░░✕"
    assert "◆ response 50 % 09:30" in monday
    assert "✕ resolution 100 %, breach 11:00" in tuesday
    assert "So far: counted 9 h, outside business hours 16 h" in told
    assert any(line.endswith("threshold-reached  response 100 %, breach") for line in lines)
    kinds = {segment["kind"] for segment in desk.json("explain", "T-1")["segments"]}
    assert kinds == {"SLA_TIMELINE_KIND_COUNTED", "SLA_TIMELINE_KIND_CLOSED"}


def test_explain_tells_the_commands_when_asked(desk: Desk) -> None:
    desk("start", "acme", "T-1", "--24x7", "--response", "1h", "--request-id", "R-1")
    desk("pause", "acme", "T-1", "--at", "2026-03-02T09:00Z")
    desk("pause", "acme", "T-1")
    assert "R-1" not in desk("explain", "T-1")
    told = desk("explain", "T-1", "--audit").splitlines()
    header = next(place for place, line in enumerate(told) if line.startswith("WHEN") and "COMMAND" in line)
    start, pause, again = (line.split() for line in told[header + 1 : header + 4])
    assert start[-2:] == ["Start", "R-1"]
    assert "Pause" in pause
    assert again[-2:] == ["nothing", "changed"]
    commands = [entry["command"] for entry in desk.json("explain", "T-1", "--audit")["audit"]]
    assert commands == ["Start", "Pause", "Pause"]


def test_watch_tells_what_happens_until_it_has_told_enough(desk: Desk) -> None:
    desk("start", "acme", "T-1", "--24x7", "--response", "1h")
    desk("start", "other", "T-2", "--24x7", "--response", "1h")
    env = {"SLAD_ADDRESS": desk.address, "TZ": "UTC", "PATH": ""}
    with subprocess.Popen(
        [COMMAND, "watch", "--after", "0", "--type", "started,threshold-reached", "--count", "6"],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    ) as watch:
        assert watch.stdout
        assert "T-1  started" in watch.stdout.readline()
        desk.advance(3000)
        rest = watch.stdout.read().splitlines()
        assert watch.wait(30) == 0
    reached = [line.split()[5:8] for line in rest[1:]]
    assert sorted(reached) == [
        ["acme", "T-1", "threshold-reached"],
        ["acme", "T-1", "threshold-reached"],
        ["other", "T-2", "threshold-reached"],
        ["other", "T-2", "threshold-reached"],
    ]
    one = desk("watch", "--after", "0", "--ticket", "T-2", "--count", "1", "--json")
    assert json.loads(one)["type"] == "SLA_EVENT_TYPE_STARTED"


def test_preview_asks_nobody(desk: Desk) -> None:
    arguments = ["preview", *BERLIN, "--target", "8h", "--start", "2026-03-06T15:00"]
    told = desk(*arguments, tz="Europe/Berlin")
    assert "resolution  100 %, breach  8 h         Mon 2026-03-09 15:00 CET" in told
    assert "Sat 07 Mar  ································  weekend" in told
    paused = [*arguments, "--pause", "2026-03-09T09:00/2026-03-09T10:30"]
    assert desk.json(*paused)["resolution"]["due_at"] == "2026-03-09T15:30:00Z"
    asked = CliRunner().invoke(main, arguments, env={"SLAD_ADDRESS": "unix:/nowhere", "TZ": "UTC"})
    assert asked.exit_code == 0, "it needs no daemon"
    short = desk.run("preview", "--hours", "daily 00:00-23:59", "--tz", "UTC", "--target", "8h")
    assert short.stderr.startswith(
        "slad: a window ends at 23:59, so the last minute of the day does not count"
    )
    # As the daemon says.
    stub = sla_backend_pb2_grpc.SlaBackendStub(desk.channel)
    request = rpc.PreviewSlaRequest(started_at={"seconds": 1_772_805_600})
    request.targets.add(resolution_time_minutes=480)
    request.schedule.timezone = "Europe/Berlin"
    for day in range(1, 6):
        request.schedule.entries.add(day_of_week=day, start_time="09:00", end_time="17:00", is_enabled=True)
    due = stub.PreviewSla(request, timeout=60).resolution.due_at
    assert due.ToJsonString() == desk.json(*arguments)["resolution"]["due_at"]


@pytest.mark.parametrize("name", ["desk.csv", "desk.jsonl"])
def test_a_desk_moves_by_export_and_import(desk: Desk, tmp_path: Path, name: str) -> None:
    desk("start", "acme", "T-1", "--response", "1h", "--target", "10h", *BERLIN, "--attribute", "a=b;c")
    desk("start", "acme", "T-2", "--24x7", "--response", "30m")
    desk.advance(2400)
    desk("pause", "T-1")
    file = str(tmp_path / name)
    assert desk("export", "--output", file) == ""
    listen = f"unix:{tmp_path}/new.sock"
    arguments = ["--listen", listen, "--data", f"{tmp_path}/new", "--virtual-clock", "2026-03-02T09:40:00Z"]
    with slad_process(*arguments):
        new = Desk(listen)
        assert new("import", file) == "2 created, 0 existed already, 0 rejected\n"
        assert new("import", file) == "0 created, 2 existed already, 0 rejected\n"
        assert new("import", file, "--check") == "2 correct, 0 wrong\n"
        for ticket in ("T-1", "T-2"):
            assert new.json("status", ticket) == desk.json("status", ticket)
        again = json.loads(new("export").splitlines()[0])
        assert again["start"]["ticket_id"] == "T-1"
        assert new("import", "-", stdin=desk("export")) == "0 created, 2 existed already, 0 rejected\n"
        new.channel.close()


def test_rows_that_are_wrong_are_told_by_their_line(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "desk.csv"
    file.write_text(
        "ticket_id,response_time_minutes,hours,timezone\n"
        "T-1,60,Mon-Fri 09:00-17:00,UTC\n"
        "T-2,soon,Mon-Fri 09:00-17:00,UTC\n"
        "T-3,60,Mon-Fri 09:00-17:00,Atlantis/Poseidonis\n"
        "T-4,,Mon-Fri 09:00-17:00,UTC\n"
    )
    for check in ([], ["--check"]):
        result = desk.run("import", str(file), "--tenant", "acme", *check)
        assert result.exit_code == 5
        first, _, *rows = result.stdout.splitlines()
        assert first in ("1 created, 0 existed already, 3 rejected", "1 correct, 3 wrong")
        assert [row.split()[:3] for row in rows] == [
            ["3", "T-2", "response_time_minutes"],
            ["4", "T-3", "start.schedule.timezone"],
            ["5", "T-4", "start.targets[0]"],
        ]
    rejected = json.loads(desk.run("import", str(file), "--tenant", "acme", "--json").stdout)["rejected"]
    assert [row["line"] for row in rejected] == [3, 4, 5]


def test_a_large_import_comes_in_many_messages(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "desk.csv"
    rows = "".join(f"acme,T-{number},60,true\n" for number in range(1001))
    file.write_text("tenant_id,ticket_id,response_time_minutes,is_24x7\n" + rows + "acme,T-x,0,true\n")
    result = desk.run("import", str(file))
    assert result.stdout.splitlines()[0] == "1001 created, 0 existed already, 1 rejected"
    assert result.stdout.splitlines()[2].split()[0] == "1003"
    assert len(desk("list", "--limit", "0").splitlines()) == 1002


@pytest.mark.parametrize(
    ("code", "arguments", "told"),
    [
        (6, ["status", "nobody"], "no tracking of ticket 'nobody'; `slad list --state all` shows all"),
        (6, ["consumers", "remove", "nobody"], "`slad consumers list` shows all"),
        (2, ["stauts"], "there is no command 'stauts'; did you mean 'status'? see `slad --help`"),
        (2, ["status"], "Missing argument '[TENANT] TICKET'; see `slad status --help`"),
        (2, ["status", "a", "b", "c"], "one ticket at a time"),
        (2, ["status", "T", "--jsn"], "Did you mean '--json'?"),
        (2, ["list", "--status", "late"], "'late' is not one of on-track"),
        (2, ["list", "--due-before", "1", "--due-within", "1h"], "'1' is not an instant"),
        (2, ["list", "--due-before", "now", "--due-within", "1h"], "contradict each other"),
        (2, ["pause", "T", "--at", "yesterday"], "'yesterday' is not an instant"),
        (2, ["start", "T", "--24x7", "--response", "1h"], "slad start TENANT TICKET"),
        (2, ["start", "a", "T", "--response", "1h"], "no business hours: give --hours"),
        (2, ["start", "a", "T", "--response", "1h", "--hours", "Mon 09:00-17:00"], "--tz Europe/Berlin"),
        (2, ["start", "a", "T", "--response", "1h", "--hours", "Mo 09:00-17:00"], "--hours: 'mo' is not"),
        (2, ["preview", "--target", "1h", "--holiday", "May 1"], "--holiday: 'May 1' is "),
        (2, ["start", "a", "T", "--24x7"], "no target: give --response 1h"),
        (2, ["start", "a", "T", "--24x7", "--response", "1h", *OFFICE], "contradict each other"),
        (2, ["start", "a", "T", "--24x7", "--response", "1h", "--attribute", "x"], "'x' is not KEY=VALUE"),
        (2, ["preview", "--24x7", "--response", "1h", "--escalate", "1,2,3,4"], "up to 3 percents"),
        (2, ["preview", "--24x7", "--response", "1h", "--notify", "0"], "--notify: 0 is"),
        (2, ["preview", "--24x7", "--response", "1h", "--pause", "noon"], "'noon' is not FROM/TO"),
        (2, ["preview", "--response", "1h", *OFFICE[:3], "Mars/Base"], "--tz: 'Mars/Base' is"),
        (3, ["preview", "-f", "/nowhere/x.yaml"], "/nowhere/x.yaml cannot be read: No such file"),
        (3, ["import", "/nowhere/x.csv"], "/nowhere/x.csv cannot be read: No such file"),
        (3, ["export", "-o", "/nowhere/x.csv"], "/nowhere/x.csv cannot be written: No such file"),
        (7, ["start", "a", "T", "--24x7", "--response", "1h", "--start", "2020-01-01", "--policy", "x" * 201],
         "--policy: 201 characters"),
        (7, ["complete", "gone", "--phase", "resolution"],
         "was cancelled at 2026-03-02T09:00:00Z; `slad reopen` reopens it"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line_with_its_exit_code(
    shared: Desk, code: int, arguments: list[str], told: str
) -> None:
    assert told in shared.fails(code, *arguments)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("shared")
    listen = f"unix:{folder}/slad.sock"
    with slad_process("--listen", listen, "--data", f"{folder}/data", "--virtual-clock", MONDAY_9):
        made = Desk(listen)
        made("start", "acme", "gone", "--24x7", "--response", "1h")
        made("cancel", "gone")
        yield made
        made.channel.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "T"], ["list"], ["explain", "T"], ["watch"], ["pause", "T"], ["consumers", "list"],
        ["start", "a", "T", "--24x7", "--response", "1h"], ["export"], ["import", "-"],
    ],
)  # fmt: skip
def test_a_daemon_that_is_not_there_is_told_at_once(arguments: list[str], tmp_path: Path) -> None:
    nobody = Desk(f"unix:{tmp_path}/nobody")
    told = nobody.fails(4, *arguments, stdin="")
    assert told == f"no daemon answers at {nobody.address}; start it with `slad serve`, or give --address"
    nobody.channel.close()


def test_the_clock_of_a_real_daemon_is_not_moved(tmp_path: Path) -> None:
    with slad_process("--listen", f"unix:{tmp_path}/slad.sock", "--data", f"{tmp_path}/data") as process:
        real = Desk(process.addresses[0])
        assert "only `slad serve --virtual-clock`" in real.fails(7, "clock", "advance", "1h")
        assert real("health") == "serving\n"
        assert real.run("list").stderr == "slad: no tickets match\n"
        real.channel.close()


def test_a_token_opens_what_it_is_for_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    data, token = str(tmp_path / "data"), tmp_path / "token"
    with slad_process("--listen", "127.0.0.1:0", "--data", data) as process:
        desk = Desk(process.addresses[0])
        made = desk.run("tokens", "create", "--data", data, "--tenant", "acme", "--role", "write")
        assert made.exit_code == 0
        token.write_text(made.stdout)
        assert "a token is needed" in desk.fails(8, "list")
        (tmp_path / "wrong").write_text("slad_0000000000_wrong")
        wrong = str(tmp_path / "wrong")
        assert "not known" in desk.fails(8, "list", "--token-file", wrong)
        assert "cannot be read" in desk.fails(2, "list", "--token-file", f"{wrong}er")
        allowed = ["--token-file", str(token)]
        desk("start", "acme", "T-1", "--24x7", "--response", "1h", *allowed)
        assert "not for this tenant" in desk.fails(
            8, "start", "other", "T-1", "--24x7", "--response", "1h", *allowed
        )
        assert "T-1  started" in desk("watch", "--after", "0", "--count", "1", *allowed)
        assert desk("import", "-", *allowed, stdin=desk("export", *allowed)).startswith(
            "0 created, 1 existed"
        )
        assert desk("health") == "serving\n", "probes have no tokens"
        desk.channel.close()


def test_an_ambiguous_ticket_asks_for_its_tenant(desk: Desk) -> None:
    for tenant in ("a", "b"):
        desk("start", tenant, "T-1", "--24x7", "--response", "1h")
    assert desk.fails(7, "status", "T-1").endswith("name the tenant: TENANT TICKET")
    assert desk.json("status", "b", "T-1")["tenant_id"] == "b"


def test_what_a_ticket_carries_cannot_command_the_terminal(desk: Desk) -> None:
    desk("start", "acme", "T-1", "--24x7", "--response", "1h", "--attribute", "a=\x1b]0;title\x07[bold]x")
    told = desk("status", "T-1")
    assert "\x1b" not in told
    assert r"a=\x1b]0;title\x07[bold]x" in told


def test_an_unexpected_error_is_one_line_and_its_traceback_is_there_on_request() -> None:
    script = """
import sys, slad.cli.preview
from slad.cli.main import main
slad.cli.preview.marks_of = lambda *_: 1 / 0
sys.argv = ["slad", "preview", "--24x7", "--response", "1h"]
main(prog_name="slad")
"""
    for debug, lines in (("", 1), ("1", 5)):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"SLAD_DEBUG": debug},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) >= lines
        assert ("Traceback" in done.stderr) == bool(debug)
        if not debug:
            told = "slad: unexpected error, ZeroDivisionError: division by zero; SLAD_DEBUG=1 shows where\n"
            assert done.stderr == told


def test_completion_knows_commands_words_and_tickets(desk: Desk) -> None:
    desk("start", "acme", "T-1", "--24x7", "--response", "1h")

    def complete(line: str) -> list[str]:
        words = line.split(" ")
        env = {
            "_SLAD_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "SLAD_ADDRESS": desk.address,
            "PATH": "/usr/bin:/bin",
        }
        done = subprocess.run([COMMAND], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return [item.partition(",")[2] for item in done.stdout.split()]

    assert complete("slad st") == ["status", "start"]
    assert complete("slad status T") == ["T-1"]
    assert complete("slad list --status at") == ["at-risk"]
    for shell in ("bash", "zsh", "fish"):
        assert "_SLAD_COMPLETE" in desk("completion", shell)


def test_the_demo_tells_a_day() -> None:
    done = subprocess.run(
        [COMMAND, "demo", "--seconds", "0"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "acme DESK-101  started" in done.stdout
    assert "Why did DESK-103 breach?" in done.stdout
    *_, last = done.stdout.splitlines()
    assert (
        subprocess.run(
            ["bash", "-c", last], env={"PATH": f"{COMMAND.parent}:/usr/bin:/bin"}, check=False
        ).returncode
        == 0
    )
    counts = subprocess.run(
        [COMMAND, "demo", "--seconds", "0.2", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout.splitlines()
    events = [json.loads(line) for line in counts]
    assert [event["sequence"] for event in events] == [str(n) for n in range(1, len(events) + 1)]
    ends = {event["ticket_id"]: event["type"] for event in events if "COMPLETED" in event["type"]}
    assert ends["DESK-103"] == "SLA_EVENT_TYPE_COMPLETED"


def test_a_demo_whose_window_is_closed_leaves_nothing_behind(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [COMMAND, "demo", "--seconds", "600", "--json"], stdout=subprocess.PIPE, env=env
    ) as demo:
        assert demo.stdout
        assert demo.stdout.readline(), "it plays"
        demo.send_signal(signal.SIGHUP)
        assert demo.wait(60) == 128 + signal.SIGHUP
    assert not list(tmp_path.iterdir())
