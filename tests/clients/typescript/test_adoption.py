"""The code of docs/adopting-in-algapsa.md and moving-algapsa-over.md: compiled as it stands there, and run.

It runs against PostgreSQL with tables shaped like AlgaPSA's (`adoption/schema.sql`), imitations of what it
imports of AlgaPSA (`adoption/alga`, `adoption/packages`), and a slad that wants TLS and a token.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.clients.typescript.test_package import package, run, virtual
from tests.paths import ROOT
from tests.postgresql import postgresql_running
from tests.system.e2e.slad_process import COMMAND, slad_process

__all__ = ["package"]

PAGES = "".join(
    (ROOT / "docs" / name).read_text("utf-8") for name in ("adopting-in-algapsa.md", "moving-algapsa-over.md")
)
HARNESS = Path(__file__).parent / "adoption"
BLOCK = re.compile(r"^```(?P<language>ts|js)\n// (?P<path>\S+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)

ZONE = "America/New_York"
"""Of the host: a column of type date becomes a midnight there."""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a database with AlgaPSA's tables, on a Unix socket of its own."""
    with postgresql_running() as url:
        run("psql", "-v", "ON_ERROR_STOP=1", "-q", "-d", url, "-f", HARNESS / "schema.sql", cwd=HARNESS)
        yield url


@pytest.fixture(scope="module")
def adopted(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of the page, compiled beside what it imports."""
    folder = tmp_path_factory.mktemp("adopted")
    run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefer-offline", cwd=HARNESS)
    for name in ("alga", "packages", "test", "tsconfig.json"):
        copy = shutil.copytree if (HARNESS / name).is_dir() else shutil.copy
        copy(HARNESS / name, folder / name)
    for block in BLOCK.finditer(PAGES):
        path = folder / block["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        assert not path.exists(), f"{block['path']} is there twice"
        path.write_text(block["code"], "utf-8")
    (folder / "node_modules").symlink_to(HARNESS / "node_modules")
    run("node", "node_modules/typescript/bin/tsc", "-p", ".", cwd=folder)
    for module in (folder / "alga").glob("*.ts"):
        found = folder / "out" / "node_modules" / "@alga-psa" / module.stem
        found.mkdir(parents=True)
        (found / "index.js").write_text(f"module.exports = require('../../../alga/{module.stem}.js');\n")
    return folder


def test_every_block_of_the_page_says_its_file() -> None:
    fences = re.findall(r"^```(\w*)$", PAGES, re.MULTILINE)
    languages = [fence for fence in fences if fence]
    assert set(languages) <= {"ts", "js", "diff"} | {""}
    assert len(BLOCK.findall(PAGES)) == len([fence for fence in languages if fence in ("ts", "js")])


@pytest.fixture
def migrated(adopted: Path, database: str) -> str:
    """The database, after the migration of the page."""
    (migration,) = adopted.glob("server/migrations/*.cjs")
    script = f"""
    const knex = require('knex')({{ client: 'pg', connection: process.env.DATABASE }});
    const migration = require('{migration}');
    const run = async (...ways) => {{ for (const way of ways) await migration[way](knex); }};
    run('up', 'down', 'up').finally(() => knex.destroy());
    """
    run("node", "-e", script, cwd=adopted, DATABASE=database)
    return database


def test_the_page_does_what_it_says(adopted: Path, migrated: str, tmp_path: Path) -> None:
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost")
    (tmp_path / "crt").write_bytes(b"".join(part.bytes() for part in certificate.cert_chain_pems))
    (tmp_path / "key").write_bytes(certificate.private_key_pem.bytes())
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ("--listen", "127.0.0.1:0", "--tls-cert", str(tmp_path / "crt"), "--tls-key", str(tmp_path / "key"))
    with slad_process(*virtual(tmp_path, "2026-03-01T00:00:00Z"), *tls) as slad:
        addresses = {address.partition(":")[0]: address for address in slad.addresses}
        token = run(
            COMMAND,
            "tokens",
            "create",
            "--data",
            tmp_path / "data",
            "--all-tenants",
            "--role",
            "admin",
            cwd=tmp_path,
        )
        output = run(
            "node", "--test", "--test-reporter=tap", "out/test/adoption.test.js", cwd=adopted,
            DATABASE=migrated,
            TZ=ZONE,
            CLOCK_ADDRESS=addresses.pop("unix"),
            SLAD_ADDRESS=f"localhost:{addresses.popitem()[1].rpartition(':')[2]}",
            SLAD_CA=str(tmp_path / "ca.pem"),
            SLAD_TOKEN=token.strip(),
        )  # fmt: skip
    counts = {name: int(count) for name, count in re.findall(r"^# (\w+) (\d+)$", output, re.MULTILINE)}
    assert counts["pass"] == counts["tests"] > 10, output
