"""Where things lie in the tree."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
VECTORS = TESTS / "vectors"
TOOLS = ROOT / ".tools" / "bin"
