"""What is printed obeys nobody but the one who typed the command."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from slad_client.v1 import sla_backend_pb2 as rpc

from slad.cli.import_export import _written
from slad.cli.output import json_text
from slad.cli.tracking_files import write_jsonl

NASTY = "\x1b[31m \x9b31m \u202e \x00 \U000e0001 Zürich 🙂"


def is_harmless(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


def test_json_says_the_same_and_controls_no_terminal() -> None:
    value = {"attributes": {NASTY: [NASTY, 1]}}
    several: list[dict[str, Any]] = [{}, {"indent": 2}]
    for options in several:
        told = json_text(value, ensure_ascii=False, **options)
        assert json.loads(told) == value
        assert is_harmless(told)
        assert "Zürich 🙂" in told, "what is only not ASCII stays as it is"


def test_an_export_to_a_terminal_controls_it_no_more() -> None:
    row = rpc.SlaTrackingImport()
    row.start.attributes["key"] = NASTY
    file = io.StringIO()
    write_jsonl([row], file)
    assert json.loads(file.getvalue())["start"]["attributes"] == {"key": NASTY}
    assert is_harmless(file.getvalue())


def test_an_export_follows_no_link_that_lies_in_its_way(tmp_path: Path) -> None:
    precious, file = tmp_path / "precious", tmp_path / "desk.csv"
    precious.write_text("precious", "utf-8")
    (tmp_path / "desk.csv.part").symlink_to(precious)
    with _written(file) as stream:
        stream.write("tickets")
    assert (file.read_text("utf-8"), file.is_symlink()) == ("tickets", False)
    assert precious.read_text("utf-8") == "precious"
