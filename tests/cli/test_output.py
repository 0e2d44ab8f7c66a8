"""What is printed obeys nobody but the one who typed the command."""

from __future__ import annotations

import io
import json
from typing import Any

from slad_client.v1 import sla_backend_pb2 as rpc

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
