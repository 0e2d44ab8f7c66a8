"""slad report, forecast and annotate; the exported file as DuckDB, pandas and SQLite read it."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import duckdb_extension_sqlite_scanner
import pandas
import pytest

from slad.cli.attainment_file import COLUMNS
from tests.paths import ROOT
from tests.system.e2e.desk import Desk
from tests.system.e2e.slad_process import slad_process

OCTOBER = ("--month", "2026-10")
NORTH = ("--attribute", "region=north")
REPORTING = ROOT / "docs" / "reporting.md"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Tickets of 2026-10-05: two met, one missed and excused, one cancelled, two open."""
    folder = tmp_path_factory.mktemp("desk")
    listen = f"unix:{folder}/slad.sock"
    options = ("--virtual-clock", "2026-10-05T07:00:00Z", "--ledger-attributes", "region")
    with slad_process("--listen", listen, "--data", f"{folder}/data", *options) as process:
        made = Desk(process.addresses[0])
        for ticket, policy, target in (
            ("met", "gold", "4h"), ("paused", "gold", "4h"), ("missed", "silver", "1h"),
            ("cancelled", "silver", "1h"), ("overdue", "silver", "1h"), ("ahead", "gold", "100h"),
        ):  # fmt: skip
            words = ("start", "acme", ticket, "--24x7", "--target", target)
            made(*words, "--policy", policy, *NORTH)
        made("pause", "paused", "--reason", "awaiting-client")
        made("annotate", "acme", "missed", "--clock", "resolution", "--reason", "vendor", "--excuse")
        made.advance(1800)
        made("resume", "paused")
        made("cancel", "cancelled")
        made.advance(5400)
        for ticket in ("met", "paused", "missed"):
            made("complete", ticket, "--phase", "resolution")
        made.advance(60)
        yield made
        made.channel.close()


def test_the_table_of_a_month(desk: Desk) -> None:
    told = desk("report", "acme", *OCTOBER, "--by", "policy").splitlines()
    assert told[0] == "acme, due from 2026-10-01 00:00 to 2026-11-01 00:00 UTC"
    assert told[1] == "--as-of 2026-10-05T09:01:00Z"
    rows = [line.split() for line in told[4:7]]
    assert [row[:5] for row in rows] == [
        ["gold", "2", "0", "0", "1"],
        ["silver", "0", "1", "1", "0"],
        ["all", "2", "1", "1", "1"],
    ]
    assert rows[2][5] == "66.6", "a rate is rounded down: nobody is told of more than there was"
    assert told[7] == "paused for AWAITING_CLIENT: 8.3 % of open time"
    assert (
        desk("report", "acme", *OCTOBER, "--as-of", told[1].split()[1], "--by", "policy").splitlines() == told
    )


def test_csv_and_json_of_a_month(desk: Desk) -> None:
    (gold, silver) = csv.DictReader(io.StringIO(desk("report", "acme", *OCTOBER, "--by", "policy", "--csv")))
    assert (gold["policy"], gold["met"], gold["attainment"], gold["open_in_time"]) == (
        "gold",
        "2",
        "1.0",
        "1",
    )
    assert (silver["missed"], silver["missed_excused"], silver["attainment_excused"]) == ("1", "1", "")
    found = desk.json("report", "acme", *OCTOBER, "--by", "region")
    assert [row["group"] for row in found["rows"]] == [["north"]]
    assert found["total"]["met"] == "2"
    assert desk("report", "acme", "--month", "2026-09", "--csv").splitlines()[1].startswith("0,0,0,0,0,0,,,,")


def test_the_promises_behind_the_figures(desk: Desk) -> None:
    told = desk("report", "acme", *OCTOBER, "--unfold", "--only", "missed,open-overdue", tz="Europe/Berlin")
    assert [line.split()[:4] for line in told.splitlines()[1:]] == [
        ["missed", "resolution", "missed", "2026-10-05"],
        ["overdue", "resolution", "open", "overdue"],
    ]
    assert "2026-10-05 10:00" in told, "times are those of the report's zone"
    lines = desk("report", "acme", *OCTOBER, "--unfold", "--json").splitlines()
    assert {json.loads(line)["ticket_id"] for line in lines} == {
        "met", "paused", "missed", "cancelled", "overdue", "ahead",
    }  # fmt: skip
    (row,) = csv.DictReader(
        io.StringIO(desk("report", "acme", *OCTOBER, "--unfold", "--only", "missed", "--csv"))
    )
    assert (row["reason_code"], row["is_met"], row["is_excused"]) == ("vendor", "0", "1")
    assert json.loads(row["attributes"]) == {"region": "north"}


@pytest.fixture
def exported(desk: Desk, tmp_path: Path) -> Path:
    file = tmp_path / "october.db"
    assert desk("report", "acme", *OCTOBER, "--export", str(file)) == f"wrote 6 promises to {file}\n"
    return file


def test_duckdb_reads_the_export(exported: Path) -> None:
    folder = Path(duckdb_extension_sqlite_scanner.__file__).parent / "extensions" / f"v{duckdb.__version__}"
    with closing(duckdb.connect()) as connection:
        connection.execute(f"LOAD '{folder / 'sqlite_scanner.duckdb_extension'}'")
        connection.execute(f"ATTACH '{exported}' AS desk (TYPE sqlite)")
        rate = "SELECT avg(is_met) FROM desk.attainment"
        assert connection.execute(rate).fetchone() == (pytest.approx(2 / 3),)
        by_month = connection.execute(
            "SELECT strftime(due_at::TIMESTAMP, '%Y-%m'), policy_id, count(is_met), sum(is_met)"
            " FROM desk.attainment GROUP BY ALL ORDER BY policy_id"
        ).fetchall()
        assert by_month == [("2026-10", "gold", 2, 2), ("2026-10", "silver", 1, 0)]


def test_pandas_reads_the_export(exported: Path) -> None:
    stamps = ["opened_at", "due_at", "closed_at", "recorded_at"]
    with closing(sqlite3.connect(exported)) as connection:
        frame = pandas.read_sql("SELECT * FROM attainment", connection, parse_dates=stamps)
    assert frame.groupby("policy_id").is_met.mean().to_dict() == {"gold": 1.0, "silver": 0.0}
    judged = frame[frame.is_met.notna()]
    took = (judged.closed_at - judged.opened_at).dt.total_seconds() / 60
    assert (took == judged.elapsed_minutes + judged.paused_minutes).all(), "these count round the clock"
    assert frame.figure.value_counts().to_dict() == {
        "met": 2, "missed": 1, "none": 1, "open_overdue": 1, "open_in_time": 1,
    }  # fmt: skip


def test_the_view_is_documented_column_by_column(exported: Path) -> None:
    with closing(sqlite3.connect(exported)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(attainment)")]
        about = dict(connection.execute("SELECT * FROM about"))
    assert columns == list(COLUMNS)
    section = REPORTING.read_text("utf-8").split("## The view `attainment`")[1].split("\n## ")[0]
    documented = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert documented == columns
    assert (about["tenant_id"], about["from"]) == ("acme", "2026-10-01T00:00:00+00:00")


def test_an_export_overwrites_nothing_and_leaves_nothing_half_done(desk: Desk, tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.write_text("mine")
    assert "exists already" in desk.fails(3, "report", "acme", *OCTOBER, "--export", str(there))
    assert there.read_text() == "mine"
    nowhere = tmp_path / "nowhere" / "x.db"
    assert "cannot be written" in desk.fails(3, "report", "acme", *OCTOBER, "--export", str(nowhere))
    desk.fails(7, "report", "acme", *OCTOBER, "--by", "color", "--export", str(tmp_path / "new.db"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.db"]


def test_what_will_be_missed(desk: Desk) -> None:
    told = desk("forecast", "acme", "--until", "2026-10-12T00:00Z", "--by", "policy").splitlines()
    assert [line.split()[:5] for line in told[1:4]] == [
        ["gold", "0", "1", "0", "0"],
        ["silver", "1", "0", "0", "0"],
        ["all", "1", "1", "0", "0"],
    ]
    assert [line.split()[0] for line in told[6:]] == ["overdue", "ahead"]
    assert desk.json("forecast", "acme", "--until", "2026-10-06T00:00Z")["total"]["in_time"] == "1"


def test_what_cannot_be_asked(desk: Desk) -> None:
    for code, words, told in (
        (2, ["report", "acme", "--month", "2026-13"], "is not a month"),
        (2, ["report", "acme", "--from", "2026-10-01"], "--from and --to go together"),
        (2, ["report", "acme", *OCTOBER, "--from", "2026-10-01", "--to", "2026-10-02"], "contradicts"),
        (2, ["report", "acme", *OCTOBER, "--timezone", "Europe/Pariss"], "is not a time zone"),
        (2, ["report", "acme", *OCTOBER, "--only", "met"], "--only goes with"),
        (2, ["report", "acme", *OCTOBER, "--csv", "--json"], "contradict"),
        (7, ["report", "acme", "--from", "2026-10-02", "--to", "2026-10-01"], "not after from_time"),
        (7, ["report", "acme", *OCTOBER, "--by", "color"], "does not name 'color'; besides"),
        (7, ["report", "acme", *OCTOBER, "--as-of", "2026-10-06T00:00Z"], "ahead of slad's clock"),
        (6, ["annotate", "acme", "met", "--clock", "other"], "no clock 'other'"),
        (6, ["annotate", "acme", "met", "--clock", "resolution", "--cycle", "2"], "no cycle 2"),
        (7, ["forecast", "acme", "--until", "2026-10-01"], "what lies ahead"),
    ):  # fmt: skip
        assert told in desk.fails(code, *words), words


def test_an_annotation_is_said_once(desk: Desk) -> None:
    words = ("annotate", "acme", "overdue", "--clock", "resolution", "--note", "waiting for a key")
    assert desk(*words) == "overdue: annotated\n"
    assert desk(*words) == "overdue: annotated so already\n"
    assert desk("annotate", "acme", "overdue", "--clock", "resolution") == "overdue: annotated\n", (
        "taken back"
    )
