"""The parts that sinks are made of: addresses, pauses, JSON, signatures."""

from __future__ import annotations

import base64
import ipaddress
import json
import time
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from slad_client.v1 import admin_pb2
from slad_client.v1 import types_pb2 as pb
from standardwebhooks.webhooks import Webhook

from slad.config.sinks import RetrySettings
from slad.delivery.sinks import formats, signing
from slad.delivery.sinks.circuit import MAX_RETRY_AFTER_S, OPEN_AFTER, Circuit, SinkState
from slad.delivery.sinks.guard import AddressGuard
from slad.storage.store import Lineage

TYPES = [value for value in pb.SlaEventType.values() if value]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.1.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_forbidden(address: str) -> None:
    assert not AddressGuard(()).allows(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "203.0.114.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert AddressGuard(()).allows(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203"])
def test_a_network_that_is_named_is_allowed_and_no_other(address: str) -> None:
    guard = AddressGuard([ipaddress.ip_network("10.1.0.0/16")])
    assert guard.allows(ipaddress.ip_address(address))
    assert not guard.allows(ipaddress.ip_address("10.2.0.1"))


def test_pauses_double_up_to_the_longest_and_the_circuit_opens() -> None:
    circuit = Circuit(RetrySettings(backoff_min_ms=1_000, backoff_max_ms=60_000), draw=lambda: 1.0)
    assert circuit.state is SinkState.READY
    assert [circuit.failed() for _ in range(6)] == [1, 2, 4, 8, 60, 60]
    assert circuit.state is SinkState.OPEN
    circuit.succeeded()
    assert circuit.state is SinkState.READY
    assert circuit.failed() == 1
    assert circuit.state is SinkState.RETRYING


def test_a_pause_is_drawn_from_its_upper_half() -> None:
    settings = RetrySettings(backoff_min_ms=1_000, backoff_max_ms=60_000)
    assert Circuit(settings, draw=lambda: 0.0).failed() == 0.5
    assert 0.5 <= Circuit(settings).failed() <= 1


def test_a_target_may_ask_for_a_longer_pause_but_not_for_ever() -> None:
    circuit = Circuit(RetrySettings(), draw=lambda: 1.0)
    assert circuit.failed(90) == 90
    assert circuit.failed(0) == 1
    assert circuit.failed(1e9) == MAX_RETRY_AFTER_S


def test_refusals_make_no_pause_unless_they_follow_each_other() -> None:
    circuit = Circuit(RetrySettings(backoff_max_ms=60_000), draw=lambda: 1.0)
    assert [circuit.refused() for _ in range(OPEN_AFTER)] == [0, 0, 0, 0, 60]
    assert circuit.state is SinkState.OPEN
    circuit.succeeded()
    assert circuit.refused() == 0
    assert circuit.state is SinkState.READY


def test_the_states_are_those_of_the_contract() -> None:
    assert {f"SLA_SINK_STATE_{state.name}": state.value for state in SinkState} == {
        name: value for name, value in admin_pb2.SlaSinkState.items() if value
    }


def event(kind: int, **fields: Any) -> pb.SlaEvent:
    found = pb.SlaEvent(
        sequence=1 << 60,
        event_id="e",
        tenant_id="acme",
        ticket_id="T-1",
        type=pb.SlaEventType.ValueType(kind),
        generation=1,
        **fields,
    )
    found.occurred_at.FromMilliseconds(1_772_442_000_123)
    found.recorded_at.FromMilliseconds(1_772_442_000_000)
    return found


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_event_has_its_cloud_event(kind: int) -> None:
    told = event(kind, attributes={"ü": "€"}, met=False)
    got = json.loads(formats.encode(formats.cloud_event(told, "slad", Lineage("i", 2))))
    assert (got["instance"], got["epoch"]) == ("i", 2)
    assert got["type"] == f"slad.v1.{pb.SlaEventType.Name(told.type).removeprefix('SLA_EVENT_TYPE_').lower()}"
    assert got["data"] == MessageToDict(told, preserving_proto_field_name=True)
    assert got["time"] == "2026-03-02T09:00:00.123Z"
    assert got["sequence"] == str(1 << 60), "a text: JavaScript's numbers would round it"


@pytest.mark.parametrize("kind", TYPES)
def test_a_payload_leaves_out_what_an_event_does_not_have(kind: int) -> None:
    payload = {source: source for source in formats.SOURCES} | {"number": "attributes.number"}
    got = formats.alga_event(event(kind), "T", payload)["payload"]
    assert got.keys() >= {"tenant_id", "ticket_id", "occurred_at", "recorded_at", "sequence"}
    assert not got.keys() & {"threshold_percent", "number", "met", "phase", "clock", "cycle"}


def test_a_payload_may_hold_everything() -> None:
    payload = {source: source for source in formats.SOURCES} | {"number": "attributes.number"}
    full = event(2, phase=2, threshold=pb.SlaThreshold(percent=110, escalation_level=3), met=True)
    full.attributes["number"] = "7"
    full.clock, full.cycle = "resolution", 1
    got = formats.alga_event(full, "T", payload)["payload"]
    assert got.keys() == payload.keys()
    assert (got["phase"], got["threshold_percent"], got["escalation_level"]) == ("resolution", 110, 3)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    key = bytes(range(24))
    body = '{"test": "é"}'.encode()
    headers = signing.headers("msg_1", int(time.time()), body, [bytes(24), key])
    Webhook(base64.b64encode(key).decode()).verify(body, headers)
    assert signing.decode_key("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize("secret", ["whsec_", "whsec_####", "whsec_c2hvcnQ=", "x" * 200])
def test_secrets_that_are_none(secret: str) -> None:
    with pytest.raises(ValueError, match=r"Base64|bytes"):
        signing.decode_key(secret)
