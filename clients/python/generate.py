"""Generates the Python stubs of proto/slad/v1 into slad_client/v1 (`make proto`).

protoc writes imports for a package `slad.v1`, which in Python is the daemon's; the stubs live in
`slad_client.v1`, so the imports among them are rewritten. With --check nothing is written, and a
difference from the checked-in stubs is an error.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PROTO_ROOT = HERE.parent.parent / "proto"
TARGET = HERE / "slad_client" / "v1"


def generate() -> dict[str, str]:
    """File name → content of all stubs. Raises SystemExit when protoc refuses."""
    sources = sorted((PROTO_ROOT / "slad" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        status = protoc.main(
            [
                "protoc",
                f"--plugin=protoc-gen-mypy={Path(sys.executable).parent / 'protoc-gen-mypy'}",
                f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}",
                f"-I{PROTO_ROOT}",
                f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
                f"--python_out={folder}",
                f"--grpc_python_out={folder}",
                f"--mypy_out=quiet:{folder}",
                f"--mypy_grpc_out=quiet:{folder}",
                *map(str, sources),
            ]
        )
        if status != 0:
            raise SystemExit(f"protoc ended with {status}")
        stubs = Path(folder) / "slad" / "v1"
        return {path.name: _relocate(path.read_text("utf-8")) for path in sorted(stubs.iterdir())}


def _relocate(text: str) -> str:
    # Not the proto paths in descriptors: those name the contract, not the Python package.
    text = re.sub(r"\b(from|import) slad\.v1\b", r"\1 slad_client.v1", text)
    return re.sub(r"(?<![\w./'\"])slad\.v1\.(\w+_pb2)", r"slad_client.v1.\1", text)


def main() -> None:
    """Writes the stubs, or with --check compares them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a difference")
    arguments = parser.parse_args()
    stubs = generate() | {"__init__.py": '"""Generated stubs of proto/slad/v1; see generate.py."""\n'}
    if arguments.check:
        stale = [name for name, text in stubs.items() if _current(name) != text]
        if stale:
            raise SystemExit(f"stubs differ from proto/: {', '.join(stale)}; run `make proto`")
        return
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, text in stubs.items():
        (TARGET / name).write_text(text, "utf-8")


def _current(name: str) -> str | None:
    path = TARGET / name
    return path.read_text("utf-8") if path.exists() else None


if __name__ == "__main__":
    main()
