"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from tests.paths import TESTS

settings.register_profile(
    "slad", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# CI judges a change, so it looks at the same examples each time; new ones are looked for at every desk.
settings.register_profile("ci", settings.get_profile("slad"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "slad")


SLOW: Final = ("system", "trials", "temporal", "clients/typescript")
"""Folders of tests that start processes of their own or try very much: all of them are `slow`."""

FAST: Final = (
    "system/docs/test_documents.py",
    "system/docs/test_generated.py",
    "system/docs/test_semantics.py",
)
"""Files of those folders that are not."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what `make quick` leaves out; single tests say `@pytest.mark.slow` themselves."""
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        on_temporal = getattr(item, "callspec", None) and item.callspec.params.get("engine") == "temporal"
        if on_temporal or (path.startswith(tuple(f"{name}/" for name in SLOW)) and path not in FAST):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing skips: there SLAD_REQUIRE_ALL=1 turns a skip into a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _require_all():
        report.outcome = "failed"
        report.longrepr = f"skipped, but SLAD_REQUIRE_ALL=1: {_reason(report.longrepr)}"
    return report


def _require_all() -> bool:
    return os.environ.get("SLAD_REQUIRE_ALL") == "1"


def _reason(longrepr: Any) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
