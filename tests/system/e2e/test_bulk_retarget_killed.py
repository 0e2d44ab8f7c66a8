"""A bulk retarget that SIGKILL cuts off: the same call again finishes it, and doubles nothing (M9)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import grpc
import pytest
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc
from slad_client.v1 import types_pb2 as pb

from tests.system.e2e.slad_process import slad_process

TICKETS = 8_000
"""More than fit into what gRPC buffers on the way: it is cut off in the middle."""
RETARGET = rpc.RetargetSlaTrackingsRequest(
    tenant_id="acme",
    which=rpc.SlaTrackingSelection(policy_id="gold"),
    policy_id="silver",
    targets=[pb.SlaPolicyTarget(resolution_time_minutes=600, is_24x7=True)],
)


def rows() -> rpc.ImportSlaTrackingsRequest:
    message = rpc.ImportSlaTrackingsRequest()
    for number in range(TICKETS):
        start = message.trackings.add().start
        start.tenant_id, start.ticket_id, start.policy_id = "acme", f"T-{number}", "gold"
        start.targets.add(resolution_time_minutes=100_000, is_24x7=True)
    return message


@pytest.mark.parametrize("request_id", ["", "edit-1"])
def test_the_same_call_again_finishes_it(tmp_path: Path, request_id: str) -> None:
    address = f"unix:{tmp_path}/slad.sock"
    arguments = ("--listen", address, "--data", str(tmp_path / "data"))
    request = rpc.RetargetSlaTrackingsRequest(request_id=request_id)
    request.MergeFrom(RETARGET)
    told: list[str] = []
    with slad_process(*arguments) as slad, grpc.insecure_channel(address) as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        assert stub.ImportSlaTrackings(iter([rows()])).created == TICKETS
        replies = stub.RetargetSlaTrackings(request)
        for reply in replies:
            told += [difference.ticket_id for difference in reply.differences]
            if reply.done > TICKETS // 3:
                break
        slad.kill()
        replies.cancel()
    with slad_process(*arguments), grpc.insecure_channel(address) as channel:
        stub = sla_backend_pb2_grpc.SlaBackendStub(channel)
        again = [d.ticket_id for reply in stub.RetargetSlaTrackings(request) for d in reply.differences]
        assert set(told) | set(again) <= {f"T-{number}" for number in range(TICKETS)}
        statuses = stub.ListSlaTrackings(rpc.ListSlaTrackingsRequest(page_size=1_000)).trackings
        assert {status.policy_id for status in statuses} == {"silver"}
        assert again, "it was over before it was killed"
        assert len(told) + len(again) <= TICKETS
        retargeted: Counter[str] = Counter()
        call = stub.WatchSlaEvents(
            rpc.WatchSlaEventsRequest(after_sequence=0, types=[pb.SLA_EVENT_TYPE_RETARGETED])
        )
        for reply in call:
            retargeted.update(event.ticket_id for event in reply.events)
            if len(retargeted) == TICKETS:
                break
        call.cancel()
        assert set(retargeted.values()) == {1}
