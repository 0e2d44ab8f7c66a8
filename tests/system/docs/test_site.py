"""The site: links out of docs/ lead to pages of it, and what would lead nowhere fails the build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest

from docs.site_hooks import on_page_markdown, pages
from tests.paths import ROOT


def resolved(markdown: str, page: str) -> str:
    of_page: Any = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    return on_page_markdown(markdown, page=of_page)


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", config, "-d", site],
        capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip


def test_every_link_of_the_site_leads_somewhere(tmp_path: Path) -> None:
    done = build(ROOT / "mkdocs.yml", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    built = list(tmp_path.rglob("*.html"))
    assert len(built) > 25
    for page in built:
        for link in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text("utf-8")):
            if "://" not in link and page.name != "404.html":
                assert (page.parent / unquote(link)).exists(), f"{page.name}: {link}"


def test_a_broken_link_and_a_broken_heading_fail_the_build(tmp_path: Path) -> None:
    for name in ("mkdocs.yml", "docs"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    concepts = tmp_path / "docs" / "concepts.md"
    text = concepts.read_text("utf-8")
    for wrong, said in (
        ("[x](nowhere.md)", "nowhere.md"),
        ("[x](events.md#no-such-heading)", "#no-such-heading"),
    ):
        concepts.write_text(f"{text}\n{wrong}\n", "utf-8")
        done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
        assert done.returncode != 0
        assert re.search(rf"WARNING.*{re.escape(said)}", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("link", "page", "expected"),
    [
        ("[a](events.md#x)", "concepts.md", "[a](events.md#x)"),
        ("[a](../README.md#x)", "concepts.md", "[a](project/README.md#x)"),
        ("[a](docs/events.md)", "project/README.md", "[a](../events.md)"),
        ("![a](docs/images/ticket.svg)", "project/README.md", "![a](../images/ticket.svg)"),
        ("[a](../proto/slad/v1)", "concepts.md", "[a](project/contract.md)"),
        ("[a](../../docs/events.md)", "project/clients/python/README.md", "[a](../../../events.md)"),
        ("[a](../ops/x.yml)", "metrics.md", "a (`ops/x.yml`)"),
        ("[a](https://example.com)", "metrics.md", "[a](https://example.com)"),
        ("[a](#x)", "metrics.md", "[a](#x)"),
        ("```\n[a](../README.md)\n```", "metrics.md", "```\n[a](../README.md)\n```"),
    ],
)
def test_a_link_leads_to_where_its_target_is_in_the_site(link: str, page: str, expected: str) -> None:
    assert resolved(link, page) == expected


def test_the_rest_of_the_repository_has_its_pages() -> None:
    found = pages()
    assert {"project/README.md", "project/CONTRIBUTING.md", "project/clients/python/README.md"} <= set(found)
    assert not [place for place in found if "node_modules" in place or ".venv" in place]
