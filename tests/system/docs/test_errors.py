"""docs/errors.md lists every reason that the source can give, under its code, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from slad.core.errors import Refusal
from slad.core.facts import Life
from tests.paths import ROOT

INVALID_FIELD, REFUSED, STATUS = "InvalidField", "Refused", "_status"
PLACES = {INVALID_FIELD: (None, 1), REFUSED: (0, 1), STATUS: (0, 2)}
"""Of each call that gives a reason: where its arguments have the code and the reason."""

ENDED = [life.name for life in Life if life.ended]
"""What `f"TRACKING_{history.life.name}"` may stand for."""


class UnreadableReasonError(AssertionError):
    """A reason that this test cannot read off; teach it."""


def reasons_in(source: str) -> Iterator[tuple[str, str]]:
    """(code, reason) of every error that `source` makes."""
    tree = ast.parse(source)
    constants = {
        node.target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    kinds = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    of_refused = {
        call for kind in kinds if REFUSED in map(ast.unparse, kind.bases) for call in ast.walk(kind)
    }
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name == "__init__" and call in of_refused:
            name = REFUSED
        if name not in PLACES:
            continue
        code_at, reason_at = PLACES[name]
        if len(call.args) <= reason_at:
            raise UnreadableReasonError(f"line {call.lineno}: {ast.unparse(call)}")
        given = call.args[reason_at]
        if isinstance(given, ast.Attribute) and given.attr == "reason":
            continue  # that of another error, handed on
        code = "INVALID_ARGUMENT" if code_at is None else code_of(call.args[code_at])
        named = constants.get(given.id) if isinstance(given, ast.Name) else None
        for reason in [named] if named else spelt(given):
            yield code, reason


def code_of(node: ast.expr) -> str:
    """`Refusal.NOT_FOUND`, `code_pb2.INTERNAL` → the name of the gRPC status."""
    assert isinstance(node, ast.Attribute), ast.unparse(node)
    return Refusal[node.attr].value if node.attr in Refusal.__members__ else node.attr


def spelt(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return spelt(node.body) + spelt(node.orelse)
    if isinstance(node, ast.JoinedStr) and ast.unparse(node).endswith("{history.life.name}'"):
        prefix = node.values[0]
        assert isinstance(prefix, ast.Constant)
        return [f"{prefix.value}{name}" for name in ENDED]
    raise UnreadableReasonError(f"line {node.lineno}: {ast.unparse(node)}")


def reasons_of_the_source() -> set[tuple[str, str]]:
    return {
        pair for path in sorted((ROOT / "slad").rglob("*.py")) for pair in reasons_in(path.read_text("utf-8"))
    }


def documented_reasons() -> list[tuple[str, str]]:
    """(code, reason): the first cell of every row under a heading that is a code."""
    found, code = [], ""
    for line in (ROOT / "docs" / "errors.md").read_text("utf-8").splitlines():
        if line.startswith("#"):
            heading = re.fullmatch(r"## `?([A-Z_]+)`?", line)
            code = heading[1] if heading else ""
        elif code and (row := re.match(r"\| `([A-Z_]+)` \|", line)):
            found.append((code, row[1]))
    return found


def test_every_reason_is_documented() -> None:
    missing = reasons_of_the_source() - set(documented_reasons())
    assert not missing, f"docs/errors.md lacks {sorted(missing)}"


def test_every_documented_reason_is_in_the_source() -> None:
    stale = set(documented_reasons()) - reasons_of_the_source()
    assert not stale, f"docs/errors.md has, but nothing gives, {sorted(stale)}"


def test_no_reason_is_listed_twice() -> None:
    documented = documented_reasons()
    assert len(documented) == len(set(documented))


def test_the_source_is_read_as_it_should_be() -> None:
    found = reasons_of_the_source()
    assert {
        ("INVALID_ARGUMENT", "REQUIRED"),
        ("NOT_FOUND", "TRACKING_NOT_FOUND"),
        ("FAILED_PRECONDITION", "TRACKING_COMPLETED"),
        ("FAILED_PRECONDITION", "TRACKING_CANCELLED"),
        ("INTERNAL", "INTERNAL"),
    } <= found
    sample = 'raise Refused(Refusal.UNAVAILABLE, "A" if x else "B", "")\nInvalidField(f, error.reason, m)'
    assert list(reasons_in(sample)) == [("UNAVAILABLE", "A"), ("UNAVAILABLE", "B")]
    with pytest.raises(UnreadableReasonError):
        list(reasons_in('InvalidField("x", made_up(), "")'))
