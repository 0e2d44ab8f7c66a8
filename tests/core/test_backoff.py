from __future__ import annotations

from slad.core.backoff import Backoff, jittered


def test_pauses_double_up_to_the_longest() -> None:
    pauses = Backoff(0.25, 15.0)
    assert [pauses.pause_s(failures) for failures in range(1, 9)] == [0.25, 0.5, 1, 2, 4, 8, 15, 15]


def test_a_failure_that_lasts_for_days_keeps_the_longest_pause() -> None:
    """Two to the power of 1,024 is no float."""
    assert Backoff(0.25, 60.0).pause_s(100_000) == 60.0


def test_jitter_takes_the_upper_half() -> None:
    assert [jittered(8.0, draw) for draw in (0.0, 0.5, 1.0)] == [4.0, 6.0, 8.0]
