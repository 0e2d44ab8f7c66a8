"""Callers get the file descriptors that slad does not need itself."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest

from slad.config.settings import LimitSettings
from slad.daemon import descriptors
from slad.daemon.descriptors import FEWEST, RESERVE, within_descriptors

LIMITS = LimitSettings(connections=1_000, bulk_calls=10)
WANTED = 2 * 1_000 + 2 * 10 + RESERVE

Allow = Callable[[int, int], dict[str, int]]


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Allow:
    """Lets the system allow so many, and the process raise that to so many; what it then has."""

    def allow(soft: int, hard: int) -> dict[str, int]:
        has = {"soft": soft}

        def setrlimit(_: int, limits: tuple[int, int]) -> None:
            if limits[0] > hard:
                raise ValueError("not allowed to raise maximum limit")
            has["soft"] = limits[0]

        monkeypatch.setattr(resource, "getrlimit", lambda _: (has["soft"], hard))
        monkeypatch.setattr(resource, "setrlimit", setrlimit)
        return has

    return allow


def test_where_there_are_enough_nothing_changes(allow: Allow) -> None:
    has = allow(WANTED, WANTED)
    assert within_descriptors(LIMITS, addresses=2) is LIMITS
    assert has["soft"] == WANTED


def test_the_process_takes_what_it_needs_and_may_have(allow: Allow) -> None:
    has = allow(1_024, 500_000)
    assert within_descriptors(LIMITS, addresses=2) is LIMITS
    assert has["soft"] == WANTED


def test_otherwise_there_are_fewer_connections(allow: Allow) -> None:
    allow(1_024, 1_024)
    fewer = within_descriptors(LIMITS, addresses=2)
    assert 2 * fewer.connections + 2 * fewer.bulk_calls + RESERVE <= 1_024
    assert fewer.connections > 400
    assert fewer.bulk_calls == LIMITS.bulk_calls


def test_there_are_some_in_any_case(allow: Allow) -> None:
    allow(100, 100)
    assert within_descriptors(LIMITS, addresses=2).connections == FEWEST


def test_a_system_that_lets_nobody_raise_limits_is_no_error(
    allow: Allow, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(1_024, 500_000)

    def refuse(_: int, __: tuple[int, int]) -> None:
        raise PermissionError

    monkeypatch.setattr(descriptors.resource, "setrlimit", refuse)
    assert within_descriptors(LIMITS, addresses=2).connections < 500
