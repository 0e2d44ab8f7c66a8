from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.packages.wheelhouse import build, build_client


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(sdist, wheel) of this tree, with those of the client beside them."""
    folder = tmp_path_factory.mktemp("dist")
    build_client(folder)
    return build(folder)
