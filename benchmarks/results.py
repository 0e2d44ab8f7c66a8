"""What a row of the table measured, kept as a file, so that the document can be made from separate runs."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is held against."""

    figure: str
    """The name of the figure within the result."""
    bound: float
    at_least: bool
    """False: at most."""
    unit: str = ""
    """Empty for a ratio."""

    def is_met(self, value: float) -> bool:
        """Whether `value` is on the right side."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.bound:g}{' ' + self.unit if self.unit else ' ×'}"


@dataclass(slots=True)
class Result:
    """What one row measured."""

    row: str
    figures: dict[str, list[float]]
    """By name: one value a repeat. What counts is the median."""
    notes: list[str] = field(default_factory=list)
    """What else is to be known, for people."""
    series: dict[str, list[list[float]]] = field(default_factory=dict)
    """By name: points (s, y) over time, for a chart."""
    curves: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    """By name and line: points (how many are pending, median, least, greatest), for a chart and a table."""
    bars: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    """By name: parts of a whole, for a chart."""
    options: dict[str, Any] = field(default_factory=dict)
    """How it was run, where that was not the default."""
    machine: dict[str, str] = field(default_factory=dict)
    measured_at: str = ""

    def median(self, figure: str) -> float:
        """The median of a figure."""
        return median(self.figures[figure])

    def save(self) -> Path:
        """Keeps it in place of an earlier one of its row."""
        self.machine = describe_machine()
        self.measured_at = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.row}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")
        return path


def load(row: str) -> Result | None:
    """The kept result of a row, if there is one."""
    path = RESULTS / f"{row}.json"
    return Result(**json.loads(path.read_text("utf-8"))) if path.exists() else None


def describe_machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "apsw": version("apsw"),
        "load average": f"{os.getloadavg()[0]:.1f}",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
