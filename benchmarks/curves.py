"""Figures over the number of what is pending, gathered repeat by repeat."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Final

DECADES: Final = (1_000, 10_000, 100_000)


def sizes_up_to(large: int) -> list[int]:
    """1,000, 10,000 and 100,000 as far as they are below `large`, and `large`."""
    return [*(size for size in DECADES if size < large), large]


class Curves:
    """Values by chart, line and size; of each one a repeat, or fewer."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[str, str], defaultdict[int, list[float]]] = defaultdict(
            lambda: defaultdict(list)
        )

    def add(self, chart: str, size: int, value: float, line: str = "") -> None:
        """One value. `line`: its name, where the chart has several."""
        self._values[chart, line][size].append(value)

    def at(self, chart: str, size: int, line: str = "") -> list[float]:
        """All values at a size, one a repeat. Raises KeyError when there is none."""
        return dict(self._values[chart, line])[size]

    def ratios(self, chart: str, line: str = "") -> list[float]:
        """With the largest size against with the smallest, repeat by repeat."""
        sizes = self._values[chart, line]
        return [many / few for few, many in zip(sizes[min(sizes)], sizes[max(sizes)], strict=True)]

    def points(self) -> dict[str, dict[str, list[list[float]]]]:
        """By chart and line: (size, median, least, greatest), as `Result.curves` has them."""
        charts: dict[str, dict[str, list[list[float]]]] = {}
        for (chart, line), sizes in self._values.items():
            charts.setdefault(chart, {})[line] = [
                [size, median(values), min(values), max(values)] for size, values in sorted(sizes.items())
            ]
        return charts
