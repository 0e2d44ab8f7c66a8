"""Where things lie in the tree."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VECTORS = ROOT / "tests" / "vectors"
TOOLS = ROOT / ".tools" / "bin"
