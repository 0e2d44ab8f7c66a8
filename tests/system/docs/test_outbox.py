"""The outbox of docs/integration.md, as it stands there: run against PostgreSQL, and killed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.types.json import Jsonb
from slad_client.sync import SladClient, SladTestClock
from slad_client.v1 import types_pb2 as pb

from tests.clients.typescript.test_adoption import HARNESS
from tests.clients.typescript.test_package import package, run
from tests.paths import ROOT
from tests.postgresql import postgresql_running
from tests.system.e2e.slad_process import SladProcess, slad_process

__all__ = ["package"]

PAGE = (ROOT / "docs" / "integration.md").read_text("utf-8")

PATIENCE_S = 120
"""For what is sure to come, on a machine that may be slow."""

LIFE: list[dict[str, Any]] = [
    {
        "start": {
            "targets": [{"response_time_minutes": 600, "resolution_time_minutes": 4800, "is_24x7": True}]
        }
    },
    {"pause": {"reason": "SLA_PAUSE_REASON_AWAITING_CLIENT"}},
    {"resume": {}},
    {"assign": {"owner": "ann"}},
    {"pause": {"reason": "SLA_PAUSE_REASON_STATUS_PAUSE"}},
    {"resume": {}},
    {"complete": {"phase": "SLA_PHASE_RESPONSE"}},
    {"complete": {"phase": "SLA_PHASE_RESOLUTION", "met": True}},
]
"""What the PSA says of every ticket, step by step."""

TOLD = {
    "start": ["STARTED"],
    "pause": ["PAUSED"],
    "resume": ["RESUMED"],
    "assign": ["OWNER_CHANGED"],
    "retarget": ["RETARGETED"],
    "SLA_PHASE_RESPONSE": ["PHASE_COMPLETED"],
    "SLA_PHASE_RESOLUTION": ["PHASE_COMPLETED", "COMPLETED"],
}
"""The events of each."""

TICKETS = [f"T-{number}" for number in range(40)]

SCHEMA = """
CREATE TABLE ticket (ticket_id text PRIMARY KEY, step int NOT NULL DEFAULT 0);
-- What was committed to the outbox, for the test to compare with.
CREATE TABLE history (LIKE sla_outbox);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO history SELECT NEW.*; RETURN NEW; END';
CREATE TRIGGER remember AFTER INSERT ON sla_outbox FOR EACH ROW EXECUTE FUNCTION remember();
"""

PSA = {
    # The same in both languages: until every ticket has had its life, one of them takes its next step.
    "py": """
import json, random, sys, time
import psycopg
import outbox
life = json.loads(sys.argv[2])
with psycopg.connect(sys.argv[1]) as db:
    while True:
        with db.transaction():
            rows = db.execute("SELECT ticket_id FROM ticket WHERE step < %s", [len(life)]).fetchall()
            if not rows:
                break
            [ticket] = random.choice(rows)
            [step] = db.execute(
                "UPDATE ticket SET step = step + 1 WHERE ticket_id = %s RETURNING step", [ticket]
            ).fetchone()
            [[kind, fields]] = life[step - 1].items()
            outbox.note(db, **{kind: {"tenant_id": "acme", "ticket_id": ticket, **fields}})
        time.sleep(0.002)
""",
    "ts": """
import pg from "pg";
import { note } from "./outbox.js";
const life = JSON.parse(process.argv[2]);
const db = new pg.Client(process.argv[1]);
await db.connect();
for (;;) {
  await db.query("BEGIN");
  const { rows } = await db.query("SELECT ticket_id FROM ticket WHERE step < $1", [life.length]);
  if (rows.length === 0) break;
  const { ticket_id } = rows[Math.floor(Math.random() * rows.length)];
  const next = "UPDATE ticket SET step = step + 1 WHERE ticket_id = $1 RETURNING step";
  const { step } = (await db.query(next, [ticket_id])).rows[0];
  const [[kind, fields]] = Object.entries(life[step - 1]);
  await note(db, { [kind]: { tenant_id: "acme", ticket_id, ...fields } });
  await db.query("COMMIT");
  await new Promise((resolve) => setTimeout(resolve, 2));
}
await db.end();
""",
}


class Code(NamedTuple):
    """The code of the page in one language, ready to run."""

    folder: Path
    command: Callable[[str], list[str]]
    """Runs a program beside it."""
    psa: str
    sender: str

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.command(program), *arguments], cwd=self.folder)


def block(language: str, path: str = "") -> str:
    """The code of the page in that language, or in the file that its first line names."""
    first = rf"(?:#|//) {path}\n" if path else ""
    (code,) = re.findall(rf"^```{language}\n{first}(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(code)


def python_code(folder: Path, code: str) -> Code:
    (folder / "outbox.py").write_text(code, "utf-8")
    sender = "import sys, outbox; outbox.drain(*sys.argv[1:])"
    return Code(folder, lambda program: [sys.executable, "-c", program], PSA["py"], sender)


def typescript_code(folder: Path, code: str) -> Code:
    run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefer-offline", cwd=HARNESS)
    (folder / "outbox.ts").write_text(code, "utf-8")
    (folder / "package.json").write_text('{"type": "module"}', "utf-8")
    (folder / "node_modules").symlink_to(HARNESS / "node_modules")
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node"]
    run("node", "node_modules/typescript/bin/tsc", *options, "outbox.ts", cwd=folder)
    sender = "import { drain } from './outbox.js'; await drain(...process.argv.slice(1));"
    return Code(folder, lambda program: ["node", "--input-type=module", "-e", program], PSA["ts"], sender)


@pytest.fixture(scope="module", params=["python", "typescript"])
def code(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Code:
    folder = tmp_path_factory.mktemp("outbox")
    if request.param == "python":
        return python_code(folder, block("python", "outbox.py"))
    request.getfixturevalue("package")
    return typescript_code(folder, block("ts", "outbox.ts"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql_running() as url:
        yield url


class World:
    """A PSA's database, and slad; what runs is killed at the end."""

    def __init__(self, code: Code, url: str, folder: Path, stack: ExitStack) -> None:
        self._code, self._folder, self._stack = code, folder, stack
        self.url = url
        self.address = f"unix:{folder}/slad.sock"
        self.db = stack.enter_context(psycopg.connect(url, autocommit=True))
        self.db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self.db.execute(block("sql") + SCHEMA)  # type: ignore[arg-type]
        self.slad: SladProcess | None = None

    def start_slad(self, *more: str) -> None:
        arguments = ("--listen", self.address, "--data", str(self._folder / "data"), *more)
        self.slad = self._stack.enter_context(slad_process(*arguments))

    def start_sender(self) -> subprocess.Popen[bytes]:
        return self._started(self._code.sender, self.url, self.address)

    def start_psa(self) -> subprocess.Popen[bytes]:
        return self._started(self._code.psa, self.url, json.dumps(LIFE))

    def _started(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = self._code.start(program, *arguments)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def note(self, ticket: str, *commands: dict[str, Any], at: str | None = None) -> None:
        """What the PSA's `note` writes, one after the other; `at`: by PostgreSQL's clock."""
        for command in commands:
            ((kind, fields),) = command.items()
            row = {kind: {"tenant_id": "acme", "ticket_id": ticket, **fields}}
            self.db.execute(
                "INSERT INTO sla_outbox (command, happened_at) VALUES (%s, coalesce(%s, clock_timestamp()))",
                [Jsonb(row), at],
            )

    def count(self, query: str) -> int:
        row = self.db.execute(query).fetchone()  # type: ignore[call-overload]
        return int(row[0])

    @property
    def waiting(self) -> int:
        return self.count("SELECT count(*) FROM sla_outbox WHERE refused IS NULL")

    @property
    def sent(self) -> int:
        return self.count("SELECT (SELECT count(*) FROM history) - (SELECT count(*) FROM sla_outbox)")

    def expected(self) -> dict[str, list[tuple[str, int]]]:
        """The events of each ticket, with their instants, going by what the PSA committed."""
        found: dict[str, list[tuple[str, int]]] = {}
        rows = self.db.execute("SELECT command, happened_at FROM history ORDER BY change_id").fetchall()
        for command, happened_at in rows:
            ((kind, fields),) = command.items()
            said = fields.get("started_at", fields.get("effective_at"))
            at = round((datetime.fromisoformat(said) if said else happened_at).timestamp() * 1000)
            for event in TOLD[fields.get("phase", kind)]:
                found.setdefault(fields["ticket_id"], []).append((event, at))
        return found

    def told(self) -> dict[str, list[tuple[str, int]]]:
        """What slad says of them."""
        with SladClient(self.address, timeout=PATIENCE_S) as client:
            tickets = {status.ticket_id for status in client.list_sla_trackings(tenant_id="acme")}
            return {
                ticket: [
                    (pb.SlaEventType.Name(event.type)[15:], event.occurred_at.ToMilliseconds())
                    for event in client.get_sla_timeline(tenant_id="acme", ticket_id=ticket).events
                ]
                for ticket in tickets
            }


@contextmanager
def world(code: Code, url: str, folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(code, url, folder, stack)


@pytest.fixture
def psa(code: Code, server: str, tmp_path: Path) -> Iterator[World]:
    with world(code, server, tmp_path) as made:
        yield made


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_at_any_moment_it_loses_and_doubles_nothing(psa: World) -> None:
    rng = Random(23)
    changes = len(TICKETS) * len(LIFE)
    psa.db.cursor().executemany("INSERT INTO ticket (ticket_id) VALUES (%s)", [[name] for name in TICKETS])
    psa.start_slad()
    running = {"psa": psa.start_psa(), "sender": psa.start_sender()}
    midway = 0
    for victim in rng.sample(["psa", "sender", "sender", "slad"] * 4, 16):
        goal = min(changes, psa.sent + rng.randrange(4, 24))
        until(lambda goal=goal: psa.sent >= goal)  # type: ignore[misc]
        midway += psa.waiting > 0
        if victim == "slad":
            assert psa.slad
            psa.slad.kill()
            psa.start_slad()
        else:
            running[victim].kill()
            running[victim].wait()
            running[victim] = psa.start_psa() if victim == "psa" else psa.start_sender()
    assert midway
    assert running["psa"].wait(PATIENCE_S) == 0
    until(lambda: psa.waiting == 0)
    assert psa.count("SELECT count(*) FROM sla_outbox") == 0
    assert psa.count("SELECT count(*) FROM history") == changes
    assert psa.told() == psa.expected()


def killed_before_the_deletion(psa: World) -> None:
    psa.start_slad()
    for ticket in TICKETS[:5]:
        psa.note(ticket, *LIFE[:3])
    with psycopg.connect(psa.url) as lock:
        lock.execute("LOCK TABLE sla_outbox IN SHARE MODE")  # it can be read, and not deleted from
        sender = psa.start_sender()
        blocked = "SELECT count(pid) FROM pg_stat_activity WHERE wait_event = 'relation'"
        until(lambda: psa.count(blocked) == 1)
        assert sum(map(len, psa.told().values())) == 15, "everything is answered"
        sender.kill()
        psa.db.execute(blocked.replace("count(pid)", "pg_terminate_backend(pid)"))  # type: ignore[call-overload]
        until(lambda: psa.count(blocked) == 0)
    assert psa.waiting == 15
    psa.start_sender()
    until(lambda: psa.waiting == 0)
    assert psa.told() == psa.expected()


def test_killed_before_the_deletion_it_sends_again_and_nothing_is_doubled(psa: World) -> None:
    killed_before_the_deletion(psa)


def test_a_sender_whose_commands_are_others_each_time_is_found_out(server: str, tmp_path: Path) -> None:
    """That the tests here would notice."""
    careful = block("python", "outbox.py")
    careless = careful.replace("str(request_id)", "str(time.time_ns())")
    careless = careless.replace('if kind != "retarget"', 'if kind == "start"')
    code = python_code(tmp_path, careless)
    with world(code, server, tmp_path) as psa, pytest.raises(AssertionError, match="PAUSED"):
        killed_before_the_deletion(psa)


def test_what_slad_refuses_is_set_aside_and_holds_nothing_up(psa: World) -> None:
    psa.start_slad()
    psa.start_sender()
    monday = {"day_of_week": 1, "start_time": "09:00", "end_time": "17:00", "is_enabled": True}
    schedule = {"timezone": "Mars/Olympus", "entries": [monday]}
    start = {"start": {"targets": [{"response_time_minutes": 600}], "schedule": schedule}}
    psa.note("T-1", start, *LIFE[1:3])
    psa.note("T-2", *LIFE[:3])
    until(lambda: psa.waiting == 0)
    refused = psa.db.execute("SELECT refused FROM sla_outbox ORDER BY change_id").fetchall()
    assert len(refused) == 3
    for (text,), reason in zip(refused, ["schedule.timezone", "T-1", "T-1"], strict=True):
        assert reason in text
    expected = psa.expected()
    assert psa.told() == {"T-2": expected["T-2"]}
    # Somebody has looked at it.
    psa.db.execute(
        "UPDATE sla_outbox SET command = jsonb_set(command, '{start,schedule,timezone}', '\"UTC\"')"
        " WHERE command ? 'start'"
    )
    psa.db.execute("UPDATE sla_outbox SET refused = NULL")
    until(lambda: psa.count("SELECT count(*) FROM sla_outbox") == 0)
    assert psa.told() == expected


def test_while_slad_is_away_everything_waits(psa: World) -> None:
    psa.start_slad()
    psa.start_sender()
    psa.note("T-1", *LIFE[:1])
    until(lambda: psa.waiting == 0)
    assert psa.slad
    psa.slad.kill()
    for ticket in TICKETS[2:6]:
        psa.note(ticket, *LIFE)
    psa.note("T-1", *LIFE[1:])
    assert psa.waiting == 39
    psa.start_slad()
    until(lambda: psa.waiting == 0)
    assert psa.told() == psa.expected()


VIRTUAL = ("--virtual-clock", "2026-03-02T09:00:00Z")


def test_a_clock_that_is_ahead_costs_time_and_no_change(psa: World) -> None:
    psa.start_slad(*VIRTUAL)
    psa.note("T-1", LIFE[0], at="2026-03-02T09:00:30Z")
    psa.note("T-1", LIFE[1], at="2026-03-02T09:00:40Z")
    psa.note("T-2", *LIFE[:2], at="2026-03-02T09:00:05Z")  # 5 s are nothing
    psa.start_sender()
    until(lambda: psa.count("SELECT count(*) FROM sla_outbox") == 2)
    assert psa.waiting == 2
    with SladTestClock(psa.address) as clock:
        clock.advance(timedelta(minutes=1))
    until(lambda: psa.waiting == 0)
    assert psa.count("SELECT count(*) FROM sla_outbox") == 0
    assert psa.told() == psa.expected()


def test_a_command_that_says_when_it_happened_is_sent_so(psa: World) -> None:
    psa.start_slad(*VIRTUAL)
    due = {"targets": [{"resolution_due_at": "2026-03-04T09:00:00.000Z", "is_24x7": True}]}
    psa.note("T-1", {"start": {**due, "started_at": "2026-03-02T08:00:00.000Z"}})
    psa.note("T-1", {"retarget": {**due, "started_at": "2026-03-02T07:00:00.000Z"}})
    psa.note("T-2", {"start": {**LIFE[0]["start"], "started_at": "2026-03-02T08:00:00.000Z"}})
    psa.note("T-2", {"pause": {**LIFE[1]["pause"], "effective_at": "2026-03-02T08:10:00.123Z"}})
    psa.start_sender()
    until(lambda: psa.waiting == 0)
    assert psa.count("SELECT count(*) FROM sla_outbox") == 0, "nothing is refused"
    assert psa.told()["T-2"] == psa.expected()["T-2"]
    with SladClient(psa.address, timeout=PATIENCE_S) as client:
        status = client.get_sla_status(ticket_id="T-1").status
    assert status.started_at.ToJsonString() == "2026-03-02T07:00:00Z"
    assert status.resolution.due_at.ToJsonString() == "2026-03-04T09:00:00Z"


def test_changes_after_a_restore_of_the_psa_are_new_to_slad(psa: World) -> None:
    psa.start_slad()
    psa.start_sender()
    psa.note("T-1", *LIFE[:3])
    until(lambda: psa.waiting == 0)
    psa.db.execute("TRUNCATE sla_outbox RESTART IDENTITY")  # its numbers were not taken in the backup
    psa.note("T-2", *LIFE[:3])
    until(lambda: psa.waiting == 0)
    assert psa.count("SELECT count(*) FROM sla_outbox") == 0, "nothing is refused"
    assert psa.told() == psa.expected()
