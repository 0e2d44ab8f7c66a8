"""Release notes, drafted from CHANGELOG.md: `python -m release.notes [VERSION]`, or what is unreleased."""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def notes(changelog: str, version: str) -> str:
    """What `changelog` says of `version`. Raises LookupError when it says nothing."""
    sections = re.split(r"^## \[(.+?)\].*$", changelog, flags=re.MULTILINE)
    told = dict(zip(sections[1::2], sections[2::2], strict=True)).get(version, "").strip()
    if not told:
        raise LookupError(f"CHANGELOG.md has nothing on {version}")
    # Paragraphs are wrapped for an editor; a page wraps by itself.
    return re.sub(r"\n {2,}(?=\S)(?![-*])", " ", told) + "\n"


def main() -> None:
    """Prints them."""
    version = sys.argv[1] if len(sys.argv) > 1 else "Unreleased"
    heading = "Draft of the next release" if version == "Unreleased" else f"slad {version}"
    try:
        sys.stdout.write(f"# {heading}\n\n{notes(CHANGELOG.read_text('utf-8'), version)}")
    except LookupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
