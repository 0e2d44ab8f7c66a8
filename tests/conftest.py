"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "slad", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# CI judges a change, so it looks at the same examples each time; new ones are looked for at every desk.
settings.register_profile("ci", settings.get_profile("slad"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "slad")


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
