"""Reasons to pause as people write them: `awaiting-client`, `status-pause`, or a code of their own (K5)."""

from __future__ import annotations

from typing import Final, NamedTuple

from slad_client.v1 import types_pb2 as pb

from slad.cli.exits import printable

_PREFIX: Final = "SLA_PAUSE_REASON_"

WORDS: Final = {"awaiting-client": "AWAITING_CLIENT", "status-pause": "STATUS_PAUSE"}
"""Reasons that slad knows, with their codes."""


class Reason(NamedTuple):
    """A reason as the fields of a request have it."""

    reason: pb.SlaPauseReason.ValueType
    reason_code: str = ""


def reason_code(word: str) -> str:
    """The code of a reason."""
    return WORDS.get(word, word)


def reason_fields(word: str) -> Reason:
    """A reason for a request. A word that slad does not know is a code of the caller's own."""
    if word in WORDS:
        return Reason(pb.SlaPauseReason.Value(_PREFIX + WORDS[word]))
    return Reason(pb.SLA_PAUSE_REASON_OTHER, word)


def reason_word(code: str) -> str:
    """A reason by its code, or by the name that the contract has for it, for people."""
    code = code.removeprefix(_PREFIX)
    return next((word for word, known in WORDS.items() if known == code), printable(code))
