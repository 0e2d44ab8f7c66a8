"""`python -m benchmarks`: measures slad beside its peers, and writes the table of docs/performance.md.

python -m benchmarks                  all rows, then the document
python -m benchmarks start lateness   some rows
python -m benchmarks report           the document, from the results that are kept
python -m benchmarks list             what rows there are
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.report import write
from benchmarks.row import Options
from benchmarks.table import TABLE


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m benchmarks"
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="a row, or: report, list")
    usual = Options()
    parser.add_argument("--repeats", type=int, default=usual.repeats)
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="of a round with each side")
    parser.add_argument("--large", type=int, default=usual.large, help="tickets, for a million")
    parser.add_argument("--disk", type=Path, default=usual.disk, help="where data directories are made")
    parser.add_argument("--minutes", type=int, default=usual.soak_minutes, help="of the soak")
    given = parser.parse_args()
    if given.rows == ["list"]:
        for row in TABLE.values():
            print(f"{row.name:10} about {row.about_s} s   {row.title}, against {row.peer}")
        return
    options = Options(given.repeats, given.seconds, given.large, soak_minutes=given.minutes, disk=given.disk)
    for name in given.rows or [row.name for row in TABLE.values() if not row.alone]:
        if name == "report":
            continue
        if name not in TABLE:
            parser.error(f"there is no row {name!r}; `python -m benchmarks list`")
        begun = time.monotonic()
        result = TABLE[name].run(options)
        if options != usual:
            result.options = {"repeats": given.repeats, "seconds": given.seconds, "large": given.large}
        result.save()
        shown = ", ".join(f"{figure} {result.median(figure):,.2f}" for figure in result.figures)
        print(f"{name}: {shown} ({time.monotonic() - begun:.0f} s)", file=sys.stderr)
    write()


if __name__ == "__main__":
    main()
