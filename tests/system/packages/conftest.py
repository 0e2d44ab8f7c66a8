from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.packages.wheelhouse import build


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(sdist, wheel) of this tree."""
    return build(tmp_path_factory.mktemp("dist"))
