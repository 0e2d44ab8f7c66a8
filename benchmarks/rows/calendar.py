"""Deadlines with a warm calendar, against a walk over the minutes, and with date overrides; compiling."""

from __future__ import annotations

from functools import partial
from time import thread_time
from timeit import Timer

from benchmarks.business_time import START, cpu_us, office, starts, with_overrides
from benchmarks.results import Result, Target
from benchmarks.row import Options, Row
from slad.core.calendar import compile_calendar
from slad.core.instants import DAY_MS

SPAN_MS = 90 * DAY_MS
TEN_YEARS_MS = 3_652 * DAY_MS


def run(options: Options) -> Result:
    """CPU of one thread; both must come to the same instant."""
    schedule, walk = office()
    calendar = compile_calendar(schedule)
    open_ms = calendar.open_between(START, START + SPAN_MS)
    if calendar.advance(START, open_ms) != walk.advance(START, open_ms):
        raise AssertionError("slad and the walk differ")
    figures: dict[str, list[float]] = {
        "us": [],
        "walk us": [],
        "ratio": [],
        "compile us": [],
        "overrides ratio": [],
    }
    overridden = compile_calendar(with_overrides(schedule))
    years_ms = calendar.open_between(START, START + TEN_YEARS_MS)
    start = starts()
    for _ in range(options.repeats):
        deadline = cpu_us(lambda: calendar.advance(next(start), open_ms))
        walked = Timer(partial(walk.advance, START, open_ms), timer=thread_time).timeit(1) * 1e6
        figures["us"].append(deadline)
        figures["walk us"].append(walked)
        figures["ratio"].append(walked / deadline)
        plain = cpu_us(lambda: calendar.advance(next(start), years_ms))
        figures["overrides ratio"].append(cpu_us(lambda: overridden.advance(next(start), years_ms)) / plain)
        figures["compile us"].append(cpu_us(lambda: compile_calendar(schedule).advance(START, open_ms)))
    return Result("calendar", figures)


ROW = Row(
    "calendar",
    "deadline over 90 days, warm calendar; cold compile",
    "a walk over the minutes",
    (
        Target("ratio", 5_000, at_least=True),
        Target("us", 5, at_least=False, unit="µs"),
        Target("compile us", 300, at_least=False, unit="µs"),
        Target("overrides ratio", 1.3, at_least=False),
    ),
    run,
    15,
)
