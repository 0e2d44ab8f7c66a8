"""What is written by hand is what protobuf writes, to the byte."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st
from slad_client.v1 import types_pb2 as pb

from slad.core.instants import MAX_INSTANT_MS
from slad.engine.protobuf_bytes import VARINT, embedded, moment, number, prefixes, tag, tag_of, text, varint

FIRST_MS = -62_135_596_800_000
"""0001-01-01T00:00:00Z."""


@given(st.integers(FIRST_MS, MAX_INSTANT_MS))
@example(0)
@example(999)
@example((1 << 28) * 1_000 - 1)
@example((1 << 28) * 1_000)
@example((1 << 35) * 1_000 - 1)
@example((1 << 35) * 1_000)
@example(-1)
def test_instants(ms: int) -> None:
    message = Timestamp()
    message.FromMilliseconds(ms)
    assert moment(ms) == message.SerializeToString()


@given(st.integers(0, MAX_INSTANT_MS))
def test_spans(ms: int) -> None:
    message = Duration()
    message.FromMilliseconds(ms)
    assert moment(ms) == message.SerializeToString()


@given(st.integers(0, 2**31 - 1))
def test_whole_numbers(value: int) -> None:
    expected = pb.SlaThreshold(percent=value).SerializeToString() if value else tag(1, 0) + b"\x00"
    assert tag(1, 0) + varint(value) == expected


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_of_64_bits(value: int) -> None:
    field = tag_of(pb.SlaStatus, "response_remaining_minutes", VARINT)
    assert number(field, value) == pb.SlaStatus(response_remaining_minutes=value).SerializeToString()


@given(st.text(max_size=400))
def test_texts(value: str) -> None:
    body = value.encode()
    message = pb.SlaTimelineSegment(cause=value).SerializeToString()
    assert text(tag_of(pb.SlaTimelineSegment, "cause"), value) == message
    expected = message or tag(4) + b"\x00"
    assert embedded(tag(4), body) == expected
    if len(body) < 128:
        assert prefixes(tag(4))[len(body)] + body == expected
