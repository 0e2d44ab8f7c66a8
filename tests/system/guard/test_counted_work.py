"""A command does not cost more than it did: counted, so that no machine's speed plays a part."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from tests.system.guard import budgets
from tests.system.guard.counting import function_calls, statements, turns
from tests.trials.faults.faulty_vfs import FaultyDisk, Wrote

TURNS = 100


def test_sql_statements(tmp_path: Path) -> None:
    with turns(tmp_path) as slad:
        alone, many = slad.requests(1), slad.requests(32)
        of_one = statements(slad.connection, lambda: slad.take(alone))
        of_many = statements(slad.connection, lambda: slad.take(many))
    assert len(of_one) <= budgets.STATEMENTS_ALONE, of_one
    assert len(of_many) <= budgets.STATEMENTS_OF_32, [sql[:60] for sql in of_many]


def test_rows(tmp_path: Path) -> None:
    with turns(tmp_path) as slad:
        before = slad.connection.total_changes()
        slad.take(slad.requests(32))
        assert slad.connection.total_changes() - before == 32 * budgets.ROWS


def test_a_completion_adds_a_row_of_the_ledger_for_each_clock_that_it_closes(tmp_path: Path) -> None:
    with turns(tmp_path) as slad:
        of_one = [sql for sql in statements(slad.connection, lambda: slad.resolve(1)) if "ledger" in sql]
        rows = slad.connection.execute("SELECT count(*), count(DISTINCT clock) FROM ledger").get
        of_32 = statements(slad.connection, lambda: slad.resolve(32))
        resolved = slad.connection.execute("SELECT count(*) FROM ledger").get
        started = statements(slad.connection, lambda: slad.take(slad.requests(32)))
    assert rows == (2, 2), "response and resolution"
    assert [sql.split()[0] for sql in of_one] == ["SELECT", "INSERT"]
    assert resolved == 2 + 64
    assert len([sql for sql in of_32 if sql.startswith("INSERT INTO ledger")]) == 1, "64 rows at once"
    assert not [sql for sql in started if "ledger" in sql], "a start writes none, and looks for none"


def test_bytes_and_syncs(tmp_path: Path) -> None:
    with FaultyDisk(tmp_path) as disk, turns(tmp_path / "data") as slad:
        size = _database_bytes(slad.connection)
        syncs, logged = _syncs(disk), len(disk.log)
        for _ in range(TURNS):
            slad.take(slad.requests(32))
        commands = TURNS * 32
        synced = _syncs(disk) - syncs
        written = sum(len(done.data) for done in disk.log[logged:] if isinstance(done, Wrote))
        kept = _database_bytes(slad.connection) - size
    within("syncs for 1,000 commands", synced * 1_000 / commands, budgets.SYNCS_OF_1000)
    within("bytes written for a command", written / commands, budgets.BYTES_WRITTEN)
    within("bytes that a command leaves", kept / commands, budgets.BYTES_KEPT)


def test_function_calls(tmp_path: Path) -> None:
    with turns(tmp_path) as slad:
        bodies = slad.requests(32)
        calls = function_calls(lambda: slad.take(bodies)) / 32
        within("function calls of a start", calls, budgets.FUNCTION_CALLS)
        calls = function_calls(lambda: slad.status(40))
        within("function calls of a status", calls, budgets.STATUS_FUNCTION_CALLS)


def test_memory(tmp_path: Path) -> None:
    with turns(tmp_path) as slad:
        bodies = slad.requests(32)
        tracemalloc.start()
        try:
            slad.take(bodies)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    within("bytes of memory for a start", peak / 32, budgets.PEAK_BYTES)


def test_a_command_costs_with_many_tickets_what_it_costs_with_few(tmp_path: Path) -> None:
    """Nothing on the way of a command grows with the number of tickets but the depth of an index."""
    with turns(tmp_path) as slad:
        few = slad.requests(32)
        with_few = function_calls(lambda: slad.take(few))
        for _ in range(100):
            slad.take(slad.requests(32))
        many = slad.requests(32)
        assert function_calls(lambda: slad.take(many)) <= with_few * 1.02


def within(what: str, counted: float, budget: float) -> None:
    """Fails with what has grown, and by how much."""
    assert counted <= budget, f"{what}: {counted:,.1f}, more than the budget of {budget:,}"


def _syncs(disk: FaultyDisk) -> int:
    return sum(number for kind, number in disk.calls.items() if kind.startswith("sync"))


def _database_bytes(connection) -> int:
    return int(connection.pragma("page_count") * connection.pragma("page_size"))
