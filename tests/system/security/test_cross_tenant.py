"""A token for one tenant reaches no other: tried with every RPC that the contract has, so that a new one that
lets something through, or has no rule, fails here."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from slad_client.v1 import admin_pb2, admin_pb2_grpc, tokens_pb2, tokens_pb2_grpc
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc as stubs

from slad.core.access import Role
from slad.service.access import RULES, Reach, rule_of
from tests.slad_under_test import slad_running, start_request
from tests.system.security.probe import Outcome, call, filled, methods

SECRET = "SECRET"
"""In everything of the victim's that a caller does not name."""

EVERY = list(methods())
REACHING = [method for method in EVERY if rule_of(method.full_name).reach is not Reach.NOTHING]

MODES = {
    "named": {"tenant_id": "victim", "ticket_id": "T-1", "consumer": "victims"},
    "named, all else new": {"tenant_id": "victim", "ticket_id": "T-new", "consumer": "victims"},
    "omitted": {"tenant_id": "", "tenant": "", "ticket_id": "T-1", "consumer": ""},
    "a repeated request": {"tenant_id": "", "ticket_id": "T-1", "request_id": "victims-T-1"},
    "a consumer of others": {"tenant_id": "", "tenant": "", "ticket_id": "T-1", "consumer": "victims"},
    "own": {"tenant_id": "prober", "ticket_id": "T-1", "consumer": "victims"},
}
"""How a request may try."""

NOBODY = {
    "tenant_id": "nobody",
    "ticket_id": "T-0",
    "consumer": "nobodys",
    "token_id": "0000000000",
    "request_id": "R-0",
}

TAKEN_NAMES = {"slad.v1.SlaBackend.WatchSlaEvents"}
"""Where a caller may learn that a name is taken: those of consumers are of all (docs/security.md)."""


@dataclass
class Scene:
    channel: grpc.aio.Channel
    """Over TCP, where tokens are needed."""
    trusted: grpc.aio.Channel
    probers: dict[str, str]
    """Tokens of those who try, by their tenants."""
    admin: str
    victims_token: str
    """Its id."""

    async def state(self) -> str:
        """All that there is of the victim's, as those see it who may."""
        backend = stubs.SlaBackendStub(self.trusted)
        found: list[Any] = []
        page = await backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(tenant_id="victim"))
        found += page.trackings
        for status in page.trackings:
            life = await backend.GetSlaTimeline(
                rpc.GetSlaTimelineRequest(tenant_id="victim", ticket_id=status.ticket_id)
            )
            found += life.events
        admin = admin_pb2_grpc.SlaAdminStub(self.trusted)
        consumers = (await admin.ListSlaConsumers(admin_pb2.ListSlaConsumersRequest())).consumers
        found += [(c.consumer, c.acknowledged_sequence) for c in consumers if "victims" in c.consumer]
        tokens = tokens_pb2_grpc.SlaTokensStub(self.trusted)
        listed = (await tokens.ListSlaTokens(tokens_pb2.ListSlaTokensRequest())).tokens
        found += [t for t in listed if "victim" in t.tenant_ids or t.all_tenants]
        return "\n".join(map(str, found))


@asynccontextmanager
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    local = f"unix:{tmp_path}/s"
    async with (
        slad_running(tmp_path / "d", listen=("127.0.0.1:0", local)) as slad,
        grpc.aio.insecure_channel(local) as trusted,
    ):
        backend = stubs.SlaBackendStub(trusted)
        for ticket in ("T-1", f"T-{SECRET}"):
            await backend.StartSlaTracking(
                start_request(
                    ticket,
                    tenant_id="victim",
                    policy_id=f"{SECRET}-policy",
                    attributes={"note": f"{SECRET}-note"},
                    request_id=f"victims-{ticket}",
                )
            )
        tokens = tokens_pb2_grpc.SlaTokensStub(trusted)

        async def token(*tenants: str) -> tuple[str, str]:
            reply = await tokens.CreateSlaToken(
                tokens_pb2.CreateSlaTokenRequest(
                    name=f"{SECRET}-name" if "victim" in tenants or not tenants else "mine",
                    role=tokens_pb2.SLA_ROLE_ADMIN,
                    tenant_ids=tenants,
                    all_tenants=not tenants,
                )
            )
            return reply.token.token_id, reply.secret

        victims_token, victim = await token("victim")
        for consumer in ("victims", f"{SECRET}-victims"):
            watch = stubs.SlaBackendStub(slad.channel).WatchSlaEvents(
                rpc.WatchSlaEventsRequest(consumer=consumer),
                metadata=(("authorization", f"Bearer {victim}"),),
            )
            assert len((await watch.read()).events) == 2
            watch.cancel()
        probers = {"one tenant": (await token("prober"))[1], "two": (await token("prober", "other"))[1]}
        yield Scene(slad.channel, trusted, probers, (await token())[1], victims_token)


_numbers = count()


async def tried(
    scene: Scene, method: MethodDescriptor, names: dict[str, str], token: str, fence_in: str = "prober"
) -> Outcome:
    async def fence() -> str:
        """Something that the caller may see, behind which nothing more is to come."""
        ticket = f"fence-{next(_numbers)}"
        backend = stubs.SlaBackendStub(scene.trusted)
        await backend.StartSlaTracking(start_request(ticket, tenant_id=fence_in))
        return ticket

    names = {"token_id": scene.victims_token, "request_id": f"request-{next(_numbers)}", **names}
    return await call(scene.channel, method, filled(method, names), token, fence)


@pytest.mark.parametrize("who", ["one tenant", "two"])
async def test_no_rpc_tells_or_changes_what_is_another_tenants(tmp_path: Path, who: str) -> None:
    async with scene(tmp_path) as it:
        before = await it.state()
        for method in EVERY:
            for mode, names in MODES.items():
                outcome = await tried(it, method, names, it.probers[who])
                place = f"{method.full_name}, {mode}: {outcome}"
                assert SECRET not in outcome.told, place
                assert outcome.code not in ("INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "UNAUTHENTICATED"), place
                assert await it.state() == before, place


async def test_what_is_there_cannot_be_told_from_what_is_not(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        for method in EVERY:
            if method.full_name in TAKEN_NAMES:
                continue
            for mode, names in MODES.items():
                there = await tried(it, method, names, it.probers["one tenant"])
                absent = {
                    key: NOBODY[key] if value and key != "tenant_id" else value
                    for key, value in names.items()
                }
                absent["token_id"] = NOBODY["token_id"]
                if absent["tenant_id"] == "victim":
                    absent["tenant_id"] = NOBODY["tenant_id"]
                not_there = await tried(it, method, absent, it.probers["one tenant"])
                if there.code == "OK":
                    continue  # of the prober's own; the test above has looked at it
                assert there.code == not_there.code, f"{method.full_name}, {mode}"
                assert _without_names(there.told) == _without_names(not_there.told), (
                    f"{method.full_name}, {mode}"
                )


def _without_names(told: str) -> str:
    return re.sub(r"victims-T-1|[TR]-\w+|victims?|nobodys?|[0-9a-f]{10}", "…", json.dumps(told))


async def test_the_probe_finds_what_there_is_with_a_token_for_all(tmp_path: Path) -> None:
    """That the tests above can fail: the same requests, by one who may, get other answers."""
    async with scene(tmp_path) as it:
        for method in REACHING:
            if method.full_name == "slad.v1.SlaBackend.AckSlaEvents":
                continue  # a consumer for one tenant is not for a token for all either; see the next test
            differs = False
            for names in MODES.values():
                prober = await tried(it, method, names, it.probers["one tenant"])
                allowed = await tried(it, method, names, it.admin, names["tenant_id"] or "prober")
                differs = differs or prober != allowed
            assert differs, f"{method.full_name}: the probe reaches nothing"


async def test_a_consumer_is_for_the_tenants_of_who_made_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        ack = next(m for m in EVERY if m.name == "AckSlaEvents")
        watch = next(m for m in EVERY if m.name == "WatchSlaEvents")
        for token in (*it.probers.values(), it.admin):
            names = {"tenant_id": "", "consumer": "victims"}
            assert "CONSUMER_NOT_FOUND" in (await tried(it, ack, names, token)).told
            assert "CONSUMER_OF_OTHERS" in (await tried(it, watch, names, token)).told


def test_every_rpc_has_a_rule_that_fits_its_request_and_no_rule_is_left_over() -> None:
    for_everybody = {name for name, rule in RULES.items() if rule.role is None}
    assert for_everybody == {"grpc.health.v1.Health.Check", "grpc.health.v1.Health.Watch"}
    assert sorted(RULES.keys() - for_everybody) == sorted(method.full_name for method in EVERY)
    for method in EVERY:
        reach, fields = rule_of(method.full_name).reach, method.input_type.fields_by_name
        if reach in (Reach.TENANT, Reach.TICKET):
            assert "tenant_id" in fields, method.full_name
        if reach is Reach.TICKET:
            assert "ticket_id" in fields, method.full_name
        if "ticket_id" in fields or "tenant_id" in fields:
            assert reach not in (Reach.NOTHING,), method.full_name
    with pytest.raises(LookupError, match="has no rule"):
        rule_of("slad.v1.SlaBackend.Unheard")


async def test_every_rpc_needs_its_role_and_a_token(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        tokens = tokens_pb2_grpc.SlaTokensStub(it.trusted)
        lower = {}
        for role in (Role.READ, Role.WRITE):
            reply = await tokens.CreateSlaToken(
                tokens_pb2.CreateSlaTokenRequest(role=role.value, all_tenants=True)
            )
            lower[role] = reply.secret
        for method in EVERY:
            names = MODES["named, all else new"]
            assert "TOKEN_REQUIRED" in (await tried(it, method, names, "")).told, method.full_name
            for bad in ("slad_0123456789_" + "x" * 43, "nonsense"):
                assert "TOKEN_INVALID" in (await tried(it, method, names, bad)).told, method.full_name
            for role, token in lower.items():
                if role < rule_of(method.full_name).role:
                    refused = await tried(it, method, names, token)
                    assert "ROLE_TOO_LOW" in refused.told, method.full_name
