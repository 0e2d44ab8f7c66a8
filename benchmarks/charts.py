"""Charts of the document, as SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.results import Result

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
MOST_POINTS: Final = 1_500
"""Of a series; of more, every n-th is drawn."""


def draw(result: Result) -> Iterator[tuple[str, str]]:
    """(title, file name) of a chart for each series and each curve of a result."""
    if not result.series and not result.bars and not result.curves:
        return
    import matplotlib as mpl  # only for the document

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = "slad"  # the same figures, the same file
    IMAGES.mkdir(exist_ok=True)
    for title, parts in result.bars.items():
        figure, axes = pyplot.subplots(figsize=(7, 1.8), layout="constrained")
        left = 0.0
        for name, value in parts:
            axes.barh([0], [value], left=left, label=f"{name} {value:.1f}")
            left += value
        axes.set_yticks([])
        axes.set_title(f"{title} ({left:.0f} in all)", fontsize=9)
        axes.legend(ncols=4, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2))
        yield title, _save(figure, result, title)
        pyplot.close(figure)
    for title, points in result.series.items():
        step = max(1, len(points) // MOST_POINTS)
        xs, ys = zip(*points[::step], strict=True)
        figure, axes = pyplot.subplots(figsize=(7, 2.6), layout="constrained")
        axes.plot(xs, ys, ".", markersize=2)
        axes.set_xlabel("s")
        _frame(axes, title)
        yield title, _save(figure, result, title)
        pyplot.close(figure)
    for title, lines in result.curves.items():
        figure, axes = pyplot.subplots(figsize=(7, 2.6), layout="constrained")
        for name, points in lines.items():
            sizes, medians, least, greatest = zip(*points, strict=True)
            axes.plot(sizes, medians, "o-", label=name)
            axes.fill_between(sizes, least, greatest, alpha=0.2)
        axes.set_xscale("log")
        axes.set_xlabel("pending")
        if len(lines) > 1:
            axes.legend(fontsize=7)
        _frame(axes, title)
        yield title, _save(figure, result, title)
        pyplot.close(figure)


def _frame(axes: Any, title: str) -> None:
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    axes.set_title(title, fontsize=9)
    axes.grid(visible=True, alpha=0.3)


def _save(figure: Any, result: Result, title: str) -> str:
    name = f"{result.row}-{re.sub('[^a-z0-9]+', '-', title.lower()).strip('-')}.svg"
    figure.savefig(IMAGES / name, metadata={"Date": None})
    return name
