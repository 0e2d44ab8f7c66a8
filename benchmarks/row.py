"""What a row of the table is, and what all rows are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import Result, Target


@dataclass(frozen=True, slots=True)
class Options:
    """How the rows are to be run."""

    repeats: int = 3
    seconds: float = 4.0
    """Of each round with each side."""
    large: int = 1_000_000
    """Pending tickets where a million is asked for."""
    small: int = 10_000
    """Pending tickets that the large number is held against."""
    soak_minutes: int = 60
    disk: Path = Path("/var/tmp")
    """Where data directories are made; on a real disk, or durability costs nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what is measured, against what, and what is asked of it."""

    name: str
    title: str
    peer: str
    targets: tuple[Target, ...]
    run: Callable[[Options], Result]
    about_s: int
    """How long it takes on two quiet cores, roughly."""
    alone: bool = False
    """Measured only when it is named."""
    reported: tuple[str, ...] = ()
    """The figures that the table shows where there are no targets; empty: all of them."""
    retired: str = ""
    """What was asked of it before, and why no more."""
