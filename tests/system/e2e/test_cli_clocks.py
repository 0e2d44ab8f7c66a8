"""Named clocks on the command line, against a real daemon on the virtual clock."""

from __future__ import annotations

import json
from pathlib import Path

from tests.system.e2e.desk import OFFICE, Desk

PROMISES = ["--response", "1h", "--resolution", "8h", *OFFICE]
NEXT_REPLY = ["--clock", "next-reply:NEXT_REPLY:60m"]


def test_the_next_reply(desk: Desk) -> None:
    desk("start", "acme", "T-1", *PROMISES, *NEXT_REPLY)
    assert desk("message", "T-1", "--from", "customer").startswith(
        "T-1: message from the customer; it affects no clock\n"
    )
    assert desk("message", "T-1", "--from", "agent").startswith("T-1: message from the agent\n")
    assert "next-reply  none yet" in desk("status", "T-1")
    assert desk("complete", "T-1", "--clock", "next-reply").startswith(
        "T-1: next-reply has no open cycle; nothing changed\n"
    )
    desk.advance(600)
    desk("message", "T-1", "--from", "customer")
    desk.advance(1800)
    told = desk("message", "T-1", "--from", "agent", "--at", "2026-03-02T09:30:00Z")
    assert "next-reply  1 (1 met)  1 h     20 min, 33 %" in told
    desk("message", "T-1", "--from", "customer")
    desk.advance(4000)
    told = desk("status", "T-1", "-o", "wide")
    (line,) = (line for line in told.splitlines() if line.startswith("next-reply"))
    assert "2 (1 met)" in line
    assert "over by 6 min" in line
    assert desk("complete", "T-1", "--clock", "next-reply", "--discard").startswith(
        "T-1: next-reply discarded\n"
    )
    status = desk.json("status", "T-1")
    (clock,) = (clock for clock in status["clocks"] if clock["name"] == "next-reply")
    assert (clock["cycles_closed"], clock["cycles_met"], clock["cycles_missed"]) == (2, 1, 0)
    assert "no verdict  closed Mon 2026-03-02 10:46:40 UTC" in desk("status", "T-1")
    lines = desk("watch", "--after", "0", "--count", "10").splitlines()
    assert any("clock-opened  next-reply (cycle 1)" in line for line in lines)
    assert any("clock-closed  next-reply (cycle 1) met" in line for line in lines)
    assert any("threshold-reached  next-reply (cycle 2) 50 %" in line for line in lines)


def test_a_lane_a_clock(desk: Desk) -> None:
    desk(
        *("start", "acme", "T-1", "--resolution", "7h", *OFFICE, "--notify", "50"),
        *("--clock", "level-1:OWNERSHIP:1h:owner=level-1", "--clock", "level-2:OWNERSHIP:4h:owner=level-2"),
    )
    desk("assign", "T-1", "--owner", "level-1")
    desk.advance(2700)
    assert desk("assign", "T-1", "--owner", "level-2").startswith("T-1: assigned to level-2\n")
    assert desk("assign", "T-1", "--owner", "level-2").startswith(
        "T-1: assigned to level-2 already; nothing changed\n"
    )
    desk.advance(2 * 3600)
    assert desk("assign", "T-1", "--nobody").startswith("T-1: assigned to nobody\n")
    desk.advance(900)
    desk("assign", "T-1", "--owner", "level-1")
    desk.advance(900)
    told = desk("explain", "T-1")
    drawing = told.split("\n\n")[1].splitlines()
    assert drawing == [
        "                        09  10  11  12  13  14  15  16  17",
        "Mon 02 Mar  resolution  █████████████┃◇░░░░░░░░░░░░░✕     ┃ now 12:15  ◇ 50 % 12:30  "
        "✕ 100 %, breach 16:00",
        "            level-1     ██◆✔        █┃◇░✕                 ◆ 50 % 09:30  ✔ met 09:45  ◇ 50 % 12:30  "
        "✕ 100 %, breach 13:00",
        "            level-2        ████████✔ ┃                    ◆ 50 % 11:45  ✔ met 11:45",
        "█ counted  ░ will count  ▒ paused  · closed  ◆ threshold  ✖ breach  ✔ done  ┃ now  ◇ ✕ ahead",
    ]
    assert "owner-changed      level-2" in told
    assert "owner-changed      nobody" in told
    one = desk("explain", "T-1", "--clock", "level-2")
    assert "So far: counted 2 h" in one
    assert "resolution  █" not in one
    assert {s["cause"] for s in desk.json("explain", "T-1", "--clock", "level-2")["segments"]} == {
        "", "no open cycle",
    }  # fmt: skip
    assert "has no clock 'nobody'; `slad status` shows its clocks" in desk.fails(
        6, "explain", "T-1", "--clock", "nobody"
    )


def test_reasons_to_pause(desk: Desk) -> None:
    desk(
        *("start", "acme", "T-1", *PROMISES),
        *("--clock", "vendor:FROM_START:4h:paused-by=vendor,status-pause"),
        *("--clock", "resolution:paused-by=never"),
    )
    assert desk("pause", "T-1", "--reason-code", "vendor").startswith("T-1: paused\n")
    assert desk("pause", "T-1").startswith("T-1: paused\n"), "for another reason"
    assert desk("pause", "T-1").startswith("T-1: already paused; nothing changed\n")
    told = desk("status", "T-1")
    assert "paused (vendor, awaiting-client)" in told
    (resolution,) = (line for line in told.splitlines() if line.startswith("resolution"))
    assert "if resumed now" not in resolution
    assert desk("resume", "T-1", "--reason", "status-pause").startswith(
        "T-1: not paused for status-pause; nothing changed\n"
    )
    assert desk("resume", "T-1", "--reason-code", "vendor").startswith("T-1: no longer paused for vendor\n")
    assert desk("resume", "T-1").startswith("T-1: resumed\n")
    lines = desk("watch", "--after", "0", "--count", "5").splitlines()
    assert [line.split()[7:] for line in lines[1:]] == [
        ["clock-opened", "vendor", "(cycle", "1)"],
        ["paused", "vendor"],
        ["pause-changed", "vendor"],
        ["pause-changed", "awaiting-client"],
    ]


POLICY = """
targets: [{response_time_minutes: 60, resolution_time_minutes: 480}]
schedule: {hours: Mon-Fri 09:00-17:00, timezone: UTC}
response_on_resolution: UNJUDGED
clocks:
- next-reply:NEXT_REPLY:60m:notify=50
- {name: updates, kind: PERIODIC_UPDATE, target_minutes: 240, escalation_1_percent: 80}
- name: level-2
  kind: ownership
  owner: level-2
  target_minutes: 60
  paused_by: {reasons: [vendor]}
  schedule: {schedule_id: night, timezone: UTC, hours: daily 20:00-06:00, closed: [2026-12-24]}
"""


def test_a_policy_in_a_file_has_clocks_and_options_replace_them_by_name(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    desk("start", "acme", "T-1", "-f", str(file), "--clock", "updates:PERIODIC_UPDATE:2h")
    clocks = {clock["name"]: clock for clock in desk.json("status", "T-1")["clocks"]}
    assert list(clocks) == ["response", "resolution", "next-reply", "level-2", "updates"]
    assert clocks["updates"]["clock"]["target"] == "7200s"
    desk("assign", "T-1", "--owner", "level-2")
    (level_2,) = (c for c in desk.json("status", "T-1")["clocks"] if c["name"] == "level-2")
    assert level_2["clock"]["due_at"] == "2026-03-02T21:00:00Z"
    told = desk("complete", "T-1", "--met")
    assert told.startswith("T-1: resolution met\n")
    (response,) = (line for line in told.splitlines() if line.startswith("response"))
    assert "no verdict  closed Mon 2026-03-02 09:00 UTC" in response
    desk("start", "acme", "T-2", "-f", str(file))
    told = desk(
        "retarget",
        "T-2",
        "-f",
        "-",
        *NEXT_REPLY,
        stdin=POLICY.replace("response_on_resolution: UNJUDGED\n", ""),
    )
    assert told.startswith("T-2: retargeted\n")


def test_hours_of_a_clock_take_the_zone_of_the_command(desk: Desk) -> None:
    clock = "vendor:FROM_START:2h:hours=Mon-Fri 08:00-18:00"
    desk("start", "acme", "T-1", "--resolution", "8h", "--hours", "Mon-Fri 09:00-17:00", "--tz", "Asia/Tokyo",
         "--clock", clock, "--clock", f"london:{clock.partition(':')[2]}:tz=Europe/London")  # fmt: skip
    dues = {c["name"]: c["clock"]["due_at"] for c in desk.json("status", "T-1")["clocks"]}
    assert dues["london"] == "2026-03-02T11:00:00Z"
    assert dues["vendor"] == "2026-03-03T01:00:00Z", "in Tokyo it is 18:00, when the day is over"


REFUSED_STARTS = [
    (["--clock", "Next:NEXT_REPLY:60m"], 7, "--clock Next: name: a name is a lower-case letter"),
    (["--clock", "a"], 2, "--clock 'a': its kind is missing; a clock is NAME:KIND:SPAN, such as"),
    (["--clock", "a:NEXT_REPLY"], 2, "--clock 'a:NEXT_REPLY': its minutes are missing"),
    (["--clock", "a:NEXT:1h"], 2, "--clock 'a:NEXT:1h': 'NEXT' is not one of response, resolution"),
    (["--clock", "a:RESPONSE:1h"], 7, "--clock a: kind: RESPONSE is the kind of the clock"),
    (["--clock", "a:NEXT_REPLY:1h:owner=x"], 7, "--clock a: owner: an owner goes with"),
    (["--clock", "a:NEXT_REPLY:90s"], 2, "--clock 'a:NEXT_REPLY:90s': '90s': targets are whole minutes"),
    (["--clock", "a:NEXT_REPLY:1h:notfy=5"], 2, "there is no 'notfy'; there are 24x7, hours, tz, notify"),
    (["--clock", "a:NEXT_REPLY:1h:notify=0"], 7, "--clock a: notification_thresholds[0]: "),
    (["--clock", "response:RESPONSE:1h"], 2, "of response and resolution only paused-by is taken"),
    (["--clock", "resolution:owner=x"], 2, "of response and resolution only paused-by is taken"),
    (["--clock", "a:NEXT_REPLY:1h:hours=9to5"], 2, "'9to5' is not a rule of business hours"),
    (["--clock", "a:NEXT_REPLY:1h", "--clock", "a:NEXT_REPLY:2h"], 7, "--clock a: name: this clock"),
    ([f"--clock=c{i}:FROM_START:1h" for i in range(17)], 7, "--clock: 17 clocks, at most 16 are allowed"),
    (["--notify", "0"], 7, "--notify: "),
    (["--escalate", "5000"], 7, "--escalate: "),
    (["--start", "1999-01-01"], 7, "--start: before the year 2000"),
]  # fmt: skip


def test_a_refusal_names_the_option(desk: Desk) -> None:
    for arguments, code, told in REFUSED_STARTS:
        assert told in desk.fails(code, "start", "acme", "T-1", *PROMISES, *arguments)
    assert desk("list") == ""


REFUSED_FACTS = [
    (["complete", "T-1", "--clock", "workaround"], 6, "`slad status` shows its clocks"),
    (["complete", "T-1", "--clock", "next-reply", "--phase", "response"], 2, "--phase and --clock"),
    (["complete", "T-1", "--discard"], 7, "--discard: the resolution ends the ticket"),
    (["complete", "T-1", "--clock", "next-reply", "--discard", "--met"], 2, "--discard and --met"),
    (["message", "T-1", "--from", "customer", "--at", "2026-03-01"], 7, "--at: before the start"),
    (["message", "T-1", "--from", "boss"], 2, "Invalid value for '--from'"),
    (["message", "T-1"], 2, "Missing option '--from'"),
    (["assign", "T-1"], 2, "give --owner ID, or --nobody"),
    (["assign", "T-1", "--owner", "x", "--nobody"], 2, "give --owner ID, or --nobody"),
    (["assign", "T-1", "--owner", "x" * 201], 7, "--owner: "),
    (["pause", "T-1", "--reason-code", "x" * 101], 7, "--reason-code: "),
    (["pause", "T-1", "--reason-code", ""], 7, "--reason-code: "),
    (["pause", "T-1", "--reason", "status-pause", "--reason-code", "x"], 2, "--reason and --reason-code"),
]  # fmt: skip


def test_a_refusal_about_a_ticket_names_the_option(desk: Desk) -> None:
    desk("start", "acme", "T-1", *PROMISES, *NEXT_REPLY)
    before = desk.json("explain", "T-1")["events"]
    for command, code, told in REFUSED_FACTS:
        assert told in desk.fails(code, *command)
    assert desk.json("explain", "T-1")["events"] == before


def test_preview_has_a_lane_a_clock(desk: Desk) -> None:
    told = desk(
        *("preview", "--response", "1h", "--resolution", "8h", *OFFICE, "--notify", "50"),
        *(
            *NEXT_REPLY,
            "--clock",
            "level-2:OWNERSHIP:2h:owner=level-2",
            "--clock",
            "idle:OWNERSHIP:2h:owner=x",
        ),
        *("--start", "2026-03-02T09:00", "--as-of", "2026-03-02T12:15"),
        *("--message", "agent@2026-03-02T09:30", "--message", "customer@2026-03-02T10:00"),
        *("--message", "agent@2026-03-02T10:45", "--message", "customer@2026-03-02T12:00"),
        *("--assign", "level-2@2026-03-02T11:00", "--pause", "2026-03-02T11:30/2026-03-02T12:00 vendor"),
    )
    assert "idle: no cycle has opened" in told
    assert told.split("\n\n")[1].splitlines() == [
        "                        09  10  11  12  13  14  15  16  17",
        "Mon 02 Mar  response    ██✔          ┃                    ◆ 50 % 09:30  ✔ met 09:30  ┃ now 12:15",
        "            resolution  ██████████▒▒█┃░░░░◇░░░░░░░░░░░░░  ◇ 50 % 13:30",
        "            next-reply      ██◆✔    █┃◇░✕                 ◆ 50 % 10:30  ✔ met 10:45  ◇ 50 % 12:30  "
        "✕ 100 %, breach 13:00",
        "            level-2             ██▒▒█┃◇░░░✕               ◇ 50 % 12:30  ✕ 100 %, breach 13:30",
        "Tue 03 Mar  resolution  ░░✕                               ✕ 100 %, breach 09:30",
        "█ counted  ░ will count  ▒ paused  · closed  ◆ threshold  ✖ breach  ✔ done  ┃ now  ◇ ✕ ahead",
    ]
    for option, told in (
        (["--message", "boss@2026-03-02T10:00"], "--message: 'boss' is not one of customer, agent"),
        (["--message", "customer"], "--message: 'customer' has no instant; write WHO@2026-03-02T12:00"),
        (["--clock", "A:NEXT_REPLY:1h"], "--clock A: name: a name is"),
    ):
        assert told in desk.fails(2, "preview", *PROMISES, *option)


def test_many_tickets_are_retargeted(desk: Desk, tmp_path: Path) -> None:
    office = tmp_path / "office.yaml"
    office.write_text("schedule: {schedule_id: office, timezone: UTC, hours: Mon-Fri 09:00-17:00}\n")
    for number in range(1, 4):
        clock = ["--clock", "ola:FROM_START:1h"] if number == 2 else []
        desk(
            "start",
            "acme",
            f"T-{number}",
            "-f",
            str(office),
            "--resolution",
            "10h",
            *clock,
            "--policy",
            "gold",
        )
    desk("start", "acme", "other", "--resolution", "10h", *OFFICE)
    edited = tmp_path / "edited.yaml"
    edited.write_text("schedule: {timezone: UTC, hours: Mon-Fri 08:00-17:00}\n")
    arguments = ["retarget-many", "acme", "--schedule-id", "office", "-f", str(edited)]
    told = desk(*arguments, "--dry-run").splitlines()
    assert told[0] == "3 tickets selected: 3 would change, 0 refused"
    assert told[2].split()[:3] == ["T-1", "resolution", "1"]
    assert "Tue 2026-03-03 11:00 UTC  Tue 2026-03-03 10:00 UTC  1 h earlier" in told[2]
    assert desk.json("status", "T-1")["resolution"]["due_at"] == "2026-03-03T11:00:00Z"
    moved = tmp_path / "moved.csv"
    assert desk(*arguments, "--csv", str(moved)).startswith("3 tickets selected: 3 changed, 0 refused\n")
    assert moved.read_text().splitlines()[:2] == [
        "ticket_id,clock,cycle,due_before,due_after,fired,retracted,refused",
        "T-1,resolution,1,2026-03-03T11:00:00Z,2026-03-03T10:00:00Z,,,",
    ]
    assert desk(*arguments).startswith("3 tickets selected: 0 changed, 0 refused\n"), "it keeps its id"
    assert desk.json("status", "other")["resolution"]["due_at"] == "2026-03-03T11:00:00Z"
    ids = tmp_path / "ids"
    ids.write_text("T-3\n\nunknown\n")
    lines = desk("retarget-many", "acme", "--tickets", str(ids), "--resolution", "30m", "--json").splitlines()
    found = [d for line in lines for d in json.loads(line)["differences"]]
    assert [d["ticket_id"] for d in found] == ["T-3"]
    result = desk.run("retarget-many", "acme", "--of-policy", "gold", "--resolution", "66666666h")
    assert result.exit_code == 5
    assert "3 tickets selected: 0 changed, 3 refused" in result.stdout
    assert "a threshold of this target would fall past the year 9999" in result.stdout


REFUSED_FOR_MANY = [
    (["--resolution", "1h"], 2, "which tickets? give --schedule-id, --of-policy, --ticket or --tickets"),
    (["--ticket", "T-1"], 2, "nothing would change: give --hours, --24x7, --response"),
    (["--ticket", "T-1", "--of-policy", "gold", "--notify", "5"], 2, "contradict each other; give one"),
    (["--ticket", "T-1", "--hours", "Mon-Fri 09:00-17:00"], 2, "no time zone for the business hours"),
    (["--ticket", "T-1", "--hours", "Mon 9:00-17:00", "--tz", "Mars"], 7, "--tz: "),
    (["--ticket", "T-1", "--escalate", "50"], 2, "--escalate needs a target"),
    (["--ticket", "T" * 201, "--notify", "50"], 7, "--ticket, --tickets: "),
    (["--tickets", "/nowhere", "--notify", "50"], 3, "/nowhere cannot be read"),
    (["--ticket", "T-1", "--notify", "50", "--csv", "/nowhere/x.csv"], 3, "--csv: /nowhere/x.csv"),
    (["--ticket", "T-1", "--clock", "a:FROM_START:1h:owner=x"], 7, "--clock a: owner: "),
]


def test_what_cannot_be_meant_of_many_is_refused(desk: Desk) -> None:
    for arguments, code, told in REFUSED_FOR_MANY:
        assert told in desk.fails(code, "retarget-many", "acme", *arguments)
