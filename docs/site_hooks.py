"""What the site needs beyond docs/: pages of the rest of the repository, and links that lead out of docs/.

A link to a Markdown file outside docs/ leads to its page under project/, one to proto/ to a page with the
contract. Any other path of the repository is not part of the site, so its link becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[1]
PROJECT: Final = "project"
CONTRACT: Final = f"{PROJECT}/contract.md"
SKIPPED: Final = ("build", "dist", "node_modules", "tests")

_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_FENCE: Final = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)


def pages() -> dict[str, Path]:
    """Place in the site → file, of the Markdown files outside docs/."""
    found = [path.relative_to(ROOT) for path in ROOT.glob("**/*.md")]
    outside = [
        path
        for path in found
        if path.parts[0] != "docs" and not any(p.startswith(".") or p in SKIPPED for p in path.parts)
    ]
    return {f"{PROJECT}/{path.as_posix()}": ROOT / path for path in outside}


def contract() -> str:
    """The page of the contract: the commented proto files."""
    files = sorted((ROOT / "proto" / "slad" / "v1").glob("*.proto"))
    parts = [f"## {path.name}\n\n```proto\n{path.read_text('utf-8').strip()}\n```\n" for path in files]
    return "\n".join(["# The contract\n", "The package `slad.v1`, in its files.\n", *parts])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the rest of the repository."""
    for place, path in pages().items():
        files.append(File.generated(config, place, content=path.read_text("utf-8")))
    files.append(File.generated(config, CONTRACT, content=contract()))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Lets the links of a page lead to where their target is in the site."""
    uri = page.file.src_uri
    origin = uri.removeprefix(f"{PROJECT}/") if uri.startswith(f"{PROJECT}/") else f"docs/{uri}"
    parts = _FENCE.split(markdown)
    return "".join(
        part if part.startswith("```") else _LINK.sub(lambda m: _link(m, origin, uri), part) for part in parts
    )


def _link(found: re.Match[str], origin: str, uri: str) -> str:
    image, text, target, anchor = found.groups()
    if not target or "://" in target or target.startswith("mailto:"):
        return found[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
    if path.startswith("docs/") and path != "docs/generate.py":
        place = path.removeprefix("docs/")
    elif path == "docs":
        place = "README.md"
    elif path.endswith(".md"):
        place = f"{PROJECT}/{path}"
    elif path == "proto" or path.startswith("proto/"):
        place = CONTRACT
    else:
        return text if path.startswith(("/", "..")) or "`" in text else f"{text} (`{path}`)"
    relative = posixpath.relpath(place, posixpath.dirname(uri) or ".")
    return f"{image}[{text}]({relative}{anchor or ''})"
