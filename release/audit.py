"""Known vulnerabilities of what slad depends on: `python -m release.audit PIP_AUDIT`.

Only what the daemon runs with is looked at, not the tools of its developers. Not every registry tells
advisories; where none are to be had it says so, and does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement

OWN = ("slad", "slad-client")
"""The packages of this repository."""


def needed(name: str) -> Iterator[str]:
    """What `name` with its extras depends on, directly or not, as far as it is installed; not slad's own."""
    seen: set[str] = set()
    waiting = [(name, frozenset(distribution(name).metadata.get_all("Provides-Extra") or ()))]
    while waiting:
        of, wanted = waiting.pop()
        try:
            requires = distribution(of).requires or ()
        except PackageNotFoundError:
            continue
        if of not in OWN:
            yield of
        for text in requires:
            requirement = Requirement(text)
            marker = requirement.marker
            applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in (*wanted, ""))
            if applies and requirement.name not in seen:
                seen.add(requirement.name)
                waiting.append((requirement.name, frozenset(requirement.extras)))


def main() -> None:
    """Exit code 1 when a vulnerability is known."""
    pins = sorted(f"{name}=={version(name)}" for name in needed("slad"))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        options = ("--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off", "--timeout=10")
        done = subprocess.run(
            [sys.argv[1], *options, "--requirement", file.name], capture_output=True, text=True, check=False
        )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"not audited: pip-audit could not ask for advisories ({reason[:200]})")
        return
    unknown = [item["name"] for item in found if "skip_reason" in item]
    vulnerable = [item for item in found if item.get("vulns")]
    for item in vulnerable:
        for vulnerability in item["vulns"]:
            fixed = ", ".join(vulnerability["fix_versions"]) or "no release yet"
            print(f"{item['name']} {item['version']}: {vulnerability['id']}, fixed in {fixed}")
    if len(unknown) == len(found):
        print(f"not audited: the registry tells no advisories ({len(found)} dependencies)")
    elif unknown:
        print(f"not audited, as the registry does not know them: {', '.join(unknown)}")
    if vulnerable:
        sys.exit(1)
    if len(unknown) < len(found):
        print(f"no vulnerability is known of {len(found) - len(unknown)} dependencies")


if __name__ == "__main__":
    main()
