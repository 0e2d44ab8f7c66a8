"""The disk fails at every call in turn, and the power at every place of the log; what is left is compared.

A case is one run of the script with one fault. It checks, in this order:

- a process that dies at the moment of the fault leaves a database whose state is that after one of two
  commits: the last one that had returned, or the one under way;
- slad goes on by itself once the disk does, without a restart unless it was starting, and ends in the same
  state as a run without faults;
- no event that was delivered is ever delivered with other content.

A power cut has no run of its own: one run's log holds all of them.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from slad.core.instants import DAY_MS
from tests.trials.faults import power
from tests.trials.faults.faulty_vfs import Failure, Fault, FaultyDisk, Operation
from tests.trials.faults.states import State, difference, digest, reopened, timeless
from tests.trials.faults.workload import MONDAY_9, Diary, run_script

SCRATCH = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where the runs take place: in memory if possible, as nothing of them is to stay."""

LATER = MONDAY_9 + 30 * DAY_MS
"""When the checks of what is left take place: after everything."""

FAILURES = {
    "read": (Failure.IO_ERROR,),
    "write": tuple(Failure),
    "sync": (Failure.IO_ERROR, Failure.NO_SPACE),
    "truncate": (Failure.IO_ERROR,),
    "delete": (Failure.IO_ERROR,),
    "open": (Failure.IO_ERROR,),
}
"""How the calls of each verb can fail."""

LASTING = (Failure.NO_SPACE, Failure.IO_ERROR)
"""Failures that may stay: a disk that is full, or broken."""


@dataclass(frozen=True)
class Reference:
    """The script on a disk without faults."""

    states: Sequence[State]
    digests: Sequence[bytes]
    calls: dict[str, int]
    log: Sequence[Operation]

    @property
    def final(self) -> State:
        return timeless(self.states[-1])


@dataclass
class Tally:
    """What a sweep has counted."""

    cases: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failed_starts: int = 0
    left: Counter[str] = field(default_factory=Counter)
    """What a crash at the fault, or a power cut, has left."""

    def add(self, other: Tally) -> None:
        self.cases.update(other.cases)
        self.refusals.update(other.refusals)
        self.failed_starts += other.failed_starts
        self.left.update(other.left)


def make_reference() -> Reference:
    """Runs the script twice: for its states, and untouched for its calls."""
    diaries = []
    for keeps_states in (True, False):
        with TemporaryDirectory(dir=SCRATCH) as scratch:
            data = Path(scratch) / "data"
            with FaultyDisk(data) as disk:
                diary = Diary(disk, keeps_states)
                run_script(data, diary)
            diaries.append(diary)
    recorded, plain = diaries
    assert plain.commits == recorded.commits == len(recorded.states) - 1
    digests = [digest(state) for state in recorded.states]
    assert len(set(digests)) == len(digests), "each commit changes something"
    return Reference(recorded.states, digests, dict(plain.disk.calls), plain.disk.log)


@cache
def reference() -> Reference:
    """That of this process."""
    return make_reference()


def every_fault(calls: dict[str, int]) -> Iterator[Fault]:
    """Every call of the script, failing in every way."""
    for kind, number_of_calls in sorted(calls.items()):
        verb = kind.split()[0]
        for number in range(1, number_of_calls + 1):
            for failure in FAILURES[verb]:
                yield Fault(kind, number, failure)
                if verb != "read" and failure in LASTING:
                    yield Fault(kind, number, failure, lasting=True)


def choose_faults(calls: dict[str, int], seed: int, further: int = 15) -> list[Fault]:
    """One of each sort, at a call chosen by the seed, and some more."""
    random = Random(seed)
    faults = list(every_fault(calls))
    sorts: dict[Fault, list[Fault]] = {}
    for fault in faults:
        sorts.setdefault(fault._replace(number=0), []).append(fault)
    return [random.choice(alike) for alike in sorts.values()] + random.sample(faults, further)


def choose_places(told: Reference, seed: int, number: int = 100) -> list[int]:
    """Some places of the log."""
    return sorted(Random(seed).sample(range(len(told.log)), number))


def try_fault(told: Reference, fault: Fault) -> Tally:
    """Runs the script with one fault, and checks; see the module."""
    tally = Tally()
    with TemporaryDirectory(dir=SCRATCH) as scratch:
        data, crashed = Path(scratch) / "data", Path(scratch) / "crashed"
        with FaultyDisk(data) as disk:
            diary = Diary(disk)
            returned = 0

            def crash() -> None:
                nonlocal returned
                returned = diary.commits
                crashed.mkdir(mode=0o700)
                for path in data.glob("slad.db*"):
                    if not path.name.endswith("-shm"):
                        shutil.copyfile(path, crashed / path.name)

            disk.on_strike = crash
            disk.arm(fault)
            run_script(data, diary)
            assert disk.struck, "the call was never made"
        tally.left[_judge(told, reopened(crashed, LATER), returned)] += 1
        final = timeless(reopened(data, LATER))
        assert final == told.final, difference(told.final, final)
    _check_reasons(fault, diary)
    tally.cases[f"{fault.kind}: {fault.failure.value}{', lasting' if fault.lasting else ''}"] += 1
    tally.refusals.update(diary.refusals)
    tally.failed_starts += diary.failed_starts
    return tally


def _check_reasons(fault: Fault, diary: Diary) -> None:
    """A full disk is told from a broken one."""
    full = fault.failure in (Failure.NO_SPACE, Failure.TORN_NO_SPACE)
    wrong = "CANNOT_WRITE" if full else "DISK_FULL"
    assert wrong not in diary.refusals, diary.refusals


def try_power_cuts(told: Reference, places: Iterable[int], seed: int, ways: int) -> Tally:
    """Cuts the power at places of the log, each in several ways, and looks at what is left."""
    tally = Tally()
    disk = power.Disk()
    wanted = set(places)
    for place, operation in enumerate(told.log):
        disk.follow(operation)
        if place not in wanted:
            continue
        for way in range(ways):
            random = Random(f"{seed}/{place}/{way}")
            chance = power.CHANCES[(place + way) % len(power.CHANCES)]
            with TemporaryDirectory(dir=SCRATCH) as scratch:
                left = Path(scratch)
                disk.cut(random, chance, left)
                state = reopened(left, LATER)
            try:
                tally.left[_judge(told, state, disk.commits)] += 1
            except AssertionError as error:
                error.add_note(f"power cut at {place} of {len(told.log)}, way {way}, seed {seed}")
                raise
            tally.cases["power cut"] += 1
    return tally


def _judge(told: Reference, state: State, returned: int) -> str:
    """Which commit a state is of, seen from the last one that had returned."""
    found = digest(state)
    if found == told.digests[returned]:
        return "all that was acknowledged"
    if returned + 1 < len(told.digests) and found == told.digests[returned + 1]:
        return "and what was in flight"
    expected = told.states[returned]
    raise AssertionError(f"not the state after commit {returned}:\n{difference(expected, state)}")
