"""The generated part of docs/performance.md: the table, and what each row noted."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.charts import draw
from benchmarks.results import Result, Target, load
from benchmarks.row import Row
from benchmarks.table import TABLE

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN: Final = "<!-- measured: begin (python -m benchmarks) -->"
END: Final = "<!-- measured: end -->"


def write() -> None:
    """Puts the kept results into the document."""
    results = {name: found for name in TABLE if (found := load(name))}
    before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = [before + BEGIN, *_machine(results), *_table(results), *_details(results), END + after]
    DOCUMENT.write_text("\n".join(parts), "utf-8")


def _machine(results: dict[str, Result]) -> list[str]:
    machines = {
        tuple(sorted((name, value) for name, value in result.machine.items() if name != "load average"))
        for result in results.values()
    }
    told = ["; ".join(f"{name} {value}" for name, value in machine) for machine in sorted(machines)]
    return ["", *[f"Measured on: {machine}." for machine in told], ""]


def _table(results: dict[str, Result]) -> list[str]:
    lines = ["| what | against | figure | target | median | range | |", "|---|---|---|---|---:|---|---|"]
    for name, row in TABLE.items():
        result = results.get(name)
        if result is None:
            lines.append(f"| {row.title} | {row.peer} | – | – | not measured | | |")
            continue
        reported = row.reported or tuple(result.figures)
        targets = row.targets or tuple(Target(figure, 0, at_least=True) for figure in reported)
        for place, target in enumerate(targets):
            lines.append(_line(row, result, target, first=place == 0, asked=bool(row.targets)))
    retired = [f"- `{name}`: {row.retired}" for name, row in TABLE.items() if row.retired]
    return [*lines, "", "Targets that were retired:", "", *retired, ""]


def _line(row: Row, result: Result, target: Target, *, first: bool, asked: bool) -> str:
    value, all_values = result.median(target.figure), result.figures[target.figure]
    verdict = ("met" if target.is_met(value) else "**missed**") if asked else "reported"
    cells = (
        row.title if first else "",
        row.peer if first else "",
        target.figure,
        str(target) if asked else "–",
        number(value),
        f"{number(min(all_values))}–{number(max(all_values))}",
        verdict,
    )
    return f"| {' | '.join(cells)} |"


def number(value: float) -> str:
    """As many digits as tell something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _details(results: dict[str, Result]) -> list[str]:
    lines = []
    for name, result in results.items():
        lines += [
            f"### {name}",
            "",
            f"Measured {result.measured_at} UTC, load average before it was over: "
            f"{result.machine['load average']}.",
        ]
        if result.options:
            lines.append(f"Not with the defaults: {result.options}.")
        lines += [*result.notes, "", "| figure | median | least | greatest |", "|---|---:|---:|---:|"]
        lines += [
            f"| {figure} | {number(result.median(figure))} | {number(min(v))} | {number(max(v))} |"
            for figure, v in result.figures.items()
        ]
        lines += ["", *curve_table(result.curves)]
        lines += [*[f"![{title}](images/{path})" for title, path in draw(result)], ""]
    return lines


def curve_table(curves: dict[str, dict[str, list[list[float]]]]) -> list[str]:
    """The medians of all curves of a row, one line each, a column for each number of what is pending."""
    if not curves:
        return []
    sizes = sorted(
        {int(point[0]) for lines in curves.values() for points in lines.values() for point in points}
    )
    rows = [f"| pending | {' | '.join(f'{size:,}' for size in sizes)} |", f"|---|{'---:|' * len(sizes)}"]
    for chart, lines in curves.items():
        for name, points in lines.items():
            medians = {int(point[0]): number(point[1]) for point in points}
            cells = [f"{chart}: {name}" if name else chart, *[medians.get(size, "–") for size in sizes]]
            rows.append(f"| {' | '.join(cells)} |")
    return [*rows, ""]
