"""The life of tokens, as the commands and callers see it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from slad_client import Unauthenticated
from slad_client.aio import SladClient
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import sla_backend_pb2_grpc as stubs
from slad_client.v1 import tokens_pb2, tokens_pb2_grpc

from slad.core.access import TRUSTED, Caller, Role
from slad.core.errors import Refused
from slad.service import tokens as tokens_of_slad
from slad.service.tokens import Tokens
from slad.storage.database import DATABASE_NAME
from slad.storage.rows import TokenRow
from tests.slad_under_test import MONDAY_9, Slad, bearer, refused, slad_running, stamp, start_request, trusted
from tests.system.e2e.slad_process import COMMAND, slad_process

ADMIN = tokens_pb2.SLA_ROLE_ADMIN


async def create(channel: grpc.aio.Channel, **fields: Any) -> tokens_pb2.CreateSlaTokenResponse:
    fields = {"role": ADMIN, "all_tenants": "tenant_ids" not in fields, **fields}
    return await tokens_pb2_grpc.SlaTokensStub(channel).CreateSlaToken(
        tokens_pb2.CreateSlaTokenRequest(**fields)
    )


async def status(slad: Slad, secret: str | None = None) -> Any:
    request = rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id="T-1")
    return await slad.backend.GetSlaStatus(request, **(bearer(secret) if secret else {}))


async def test_the_first_token_closes_tcp_and_the_last_revoked_does_not_open_it(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        await slad.start()
        assert await status(slad)
        made = await create(local)
        refusal = await refused(status(slad))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REQUIRED")
        assert await status(slad, made.secret)
        backend = stubs.SlaBackendStub(local)
        request = rpc.GetSlaStatusRequest(tenant_id="acme", ticket_id="T-1")
        assert await backend.GetSlaStatus(request), "a Unix socket needs none"
        assert (await refused(backend.GetSlaStatus(request, **bearer("x")))).reason == "TOKEN_INVALID"
        await tokens_pb2_grpc.SlaTokensStub(slad.channel).RevokeSlaToken(
            tokens_pb2.RevokeSlaTokenRequest(token_id=made.token.token_id), **bearer(made.secret)
        )
        assert (await refused(status(slad, made.secret))).reason == "TOKEN_INVALID"
        assert (await refused(status(slad))).reason == "TOKEN_REQUIRED"
    async with slad_running(tmp_path) as slad:
        assert (await refused(status(slad))).reason == "TOKEN_REQUIRED", "nor does a restart"


async def test_an_expired_token_is_good_for_nothing(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        await slad.start()
        made = await create(local, expires_at=stamp(MONDAY_9 + 60_000))
        admin = await create(local)
        past = await refused(create(local, expires_at=stamp(MONDAY_9)))
        assert (past.reason, past.fields) == ("IN_THE_PAST", ["expires_at"])
        assert await status(slad, made.secret)
        slad.clock = _with_token(slad, admin.secret)
        await slad.advance(minutes=1)
        assert (await refused(status(slad, made.secret))).reason == "TOKEN_EXPIRED"


async def test_rotation_gives_a_new_secret_and_the_old_one_its_grace(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        await slad.start()
        tokens = tokens_pb2_grpc.SlaTokensStub(local)
        made = await create(local)
        request = tokens_pb2.RotateSlaTokenRequest(token_id=made.token.token_id)
        request.grace.FromSeconds(60)
        second = await tokens.RotateSlaToken(request)
        assert second.secret != made.secret
        assert second.token.token_id == made.token.token_id
        assert await status(slad, made.secret)
        assert await status(slad, second.secret)
        slad.clock = _with_token(slad, second.secret)
        await slad.advance(minutes=1)
        assert (await refused(status(slad, made.secret))).reason == "TOKEN_EXPIRED"
        request.ClearField("grace")
        third = await tokens.RotateSlaToken(request)
        assert (await refused(status(slad, second.secret))).reason == "TOKEN_INVALID"
        assert await status(slad, third.secret)
        await tokens.RevokeSlaToken(tokens_pb2.RevokeSlaTokenRequest(token_id=made.token.token_id))
        assert (await refused(tokens.RotateSlaToken(request))).reason == "TOKEN_REVOKED"


async def test_a_stream_ends_with_its_token_and_the_next_in_line_takes_over(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        one, two = await create(local), await create(local)
        request = rpc.WatchSlaEventsRequest(consumer="psa")
        first = slad.backend.WatchSlaEvents(request, **bearer(one.secret))
        await first.initial_metadata()
        second = slad.backend.WatchSlaEvents(request, **bearer(two.secret))
        await second.initial_metadata()
        await stubs.SlaBackendStub(local).StartSlaTracking(start_request())
        assert len((await first.read()).events) == 1
        revoke = tokens_pb2.RevokeSlaTokenRequest(token_id=one.token.token_id)
        await tokens_pb2_grpc.SlaTokensStub(local).RevokeSlaToken(revoke)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(first.read(), 30)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert len((await asyncio.wait_for(second.read(), 30)).events) == 1
        second.cancel()


async def test_an_admin_for_some_tenants_leaves_tokens_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_of_slad, "MAX_TOKENS", 4)
    monkeypatch.setattr(tokens_of_slad, "MAX_TOKENS_WITHIN", 2)
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        admin = bearer((await create(local, tenant_ids=["acme"])).secret)
        request = tokens_pb2.CreateSlaTokenRequest(role=ADMIN, tenant_ids=["acme"])
        tokens = tokens_pb2_grpc.SlaTokensStub(slad.channel)
        await tokens.CreateSlaToken(request, **admin)
        assert (await refused(tokens.CreateSlaToken(request, **admin))).reason == "TOO_MANY_TOKENS"
        for _ in range(2):
            await create(local)
        assert (await refused(create(local))).reason == "TOO_MANY_TOKENS", "in all"


async def test_an_admin_for_some_tenants_makes_and_sees_only_what_is_within_them(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        made = await create(local, tenant_ids=["acme", "globex"])
        await create(local, tenant_ids=["initech"], name="another's")
        tokens = tokens_pb2_grpc.SlaTokensStub(slad.channel)
        own = await tokens.CreateSlaToken(
            tokens_pb2.CreateSlaTokenRequest(role=ADMIN, tenant_ids=["globex"]), **bearer(made.secret)
        )
        for fields in ({"all_tenants": True}, {"tenant_ids": ["acme", "initech"]}):
            request = tokens_pb2.CreateSlaTokenRequest(role=ADMIN, **fields)
            refusal = await refused(tokens.CreateSlaToken(request, **bearer(made.secret)))
            assert refusal.reason == "TENANT_NOT_ALLOWED"
        listed = await tokens.ListSlaTokens(tokens_pb2.ListSlaTokensRequest(), **bearer(made.secret))
        assert [t.token_id for t in listed.tokens] == [made.token.token_id, own.token.token_id]


async def test_m7_a_token_for_several_tenants_finds_a_ticket_among_them_only(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        backend = stubs.SlaBackendStub(local)
        for tenant in ("acme", "initech"):
            await backend.StartSlaTracking(start_request(tenant_id=tenant))
        two = bearer((await create(local, tenant_ids=["acme", "globex"])).secret)
        request = rpc.GetSlaStatusRequest(ticket_id="T-1")
        assert (await slad.backend.GetSlaStatus(request, **two)).status.tenant_id == "acme"
        assert (await slad.backend.PauseSla(rpc.PauseSlaRequest(ticket_id="T-1", reason=1), **two)).changed
        listed = await slad.backend.ListSlaTrackings(rpc.ListSlaTrackingsRequest(), **two)
        assert [t.tenant_id for t in listed.trackings] == ["acme"]
        await backend.StartSlaTracking(start_request(tenant_id="globex"))
        assert (await refused(slad.backend.GetSlaStatus(request, **two))).reason == "TENANT_AMBIGUOUS"
        other = bearer((await create(local, tenant_ids=["hooli", "globex"])).secret)
        assert (await slad.backend.GetSlaStatus(request, **other)).status.tenant_id == "globex"


async def test_rows_of_an_import_for_other_tenants_are_rejected_one_by_one(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        made = await create(local, tenant_ids=["acme"])
        rows = rpc.ImportSlaTrackingsRequest()
        for tenant in ("acme", "globex"):
            rows.trackings.add(start=start_request(tenant_id=tenant))

        async def stream() -> Any:
            yield rows

        reply = await slad.backend.ImportSlaTrackings(stream(), **bearer(made.secret))
        assert (reply.created, reply.rejected_count) == (1, 1)
        assert (reply.rejected[0].index, reply.rejected[0].reason) == (1, "TENANT_NOT_ALLOWED")


async def test_a_read_token_compares_but_does_not_mend(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        made = await create(local, tenant_ids=["acme"], role=tokens_pb2.SLA_ROLE_READ)
        for apply in (False, True):
            request = rpc.ReconcileSlaTrackingsRequest(
                tenant_id="acme", apply=apply, explicit_end=apply, end=True
            )
            request.trackings.add(start=start_request())

            async def stream(request: Any = request) -> Any:
                yield request

            call = slad.backend.ReconcileSlaTrackings(stream(), **bearer(made.secret))
            if apply:
                assert (await refused(call)).reason == "ROLE_TOO_LOW"
            else:
                assert len((await call).differences) == 1


async def test_the_python_client_sends_a_token_that_may_change(tmp_path: Path) -> None:
    async with slad_running(tmp_path) as slad, trusted(tmp_path) as local:
        made = await create(local, tenant_ids=["acme"])
        secrets = [made.secret]
        async with SladClient(slad.daemon.addresses[0], token=lambda: secrets[-1]) as client:
            assert [t async for t in client.list_sla_trackings()] == []
            secrets.append("slad_nonsense")
            with pytest.raises(Unauthenticated) as caught:
                await client.get_sla_status(ticket_id="T-1")
            assert caught.value.reason == "TOKEN_INVALID"
            assert made.secret not in repr(client._defaults)


def _with_token(slad: Slad, secret: str) -> Any:
    class Clock:
        async def AdvanceTime(self, request: Any) -> Any:  # noqa: N802 - as the stub has it
            return await clock.AdvanceTime(request, **bearer(secret))

    clock = slad.clock
    return Clock()


# --- as a process


def slad(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **env},
    )


def test_the_commands_work_before_beside_and_after_the_daemon(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    first = slad("tokens", "create", "--tenant", "acme", "--role", "read", "--create-database", *data)
    secrets = [first.stdout.strip()]
    with slad_process("--listen", "127.0.0.1:0", *data) as daemon:
        (address,) = daemon.addresses
        admin = slad("tokens", "create", "--all-tenants", "--role", "admin", "--expires", "1h", *data)
        secrets.append(admin.stdout.strip())
        assert re.fullmatch(r"slad_[0-9a-f]{10}_[A-Za-z0-9_-]{43}", secrets[-1])
        assert slad("consumers", "list", "--address", address).returncode == 8
        assert slad("consumers", "list", "--address", address, SLAD_TOKEN=secrets[1]).returncode == 0
        assert slad("consumers", "list", "--address", address, SLAD_TOKEN=secrets[0]).returncode == 8
        (tmp_path / "token").write_text(secrets[1] + "\n")
        far = ("--address", address, "--token-file", str(tmp_path / "token"))
        rotated = slad("tokens", "rotate", secrets[0].split("_")[1], *far)
        secrets.append(rotated.stdout.strip())
        states = {t["token_id"]: t for t in json.loads(slad("tokens", "list", "--json", *far).stdout)}
        assert states[secrets[0].split("_")[1]]["rotated_at"]
        assert states[secrets[1].split("_")[1]]["expires_at"]
        assert slad("tokens", "revoke", "0123456789", *far).returncode == 6
        log = daemon.output
        daemon.terminate()
    assert slad("tokens", "revoke", secrets[0], *data).stdout == f"revoked {secrets[0].split('_')[1]}\n"
    listed = slad("tokens", "list", *data).stdout
    assert [line.split()[3] for line in listed.splitlines()[1:]] == ["revoked", "until"]
    stored = (tmp_path / "data" / DATABASE_NAME).read_bytes()
    for secret in secrets:
        hidden = secret.split("_", 2)[2]
        assert hidden not in log + listed
        assert hidden.encode() not in stored


def test_the_data_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 40) / "data"  # longer than the path of a socket may be
    with slad_process("--listen", "127.0.0.1:0", "--data", str(data)):
        assert (
            slad("tokens", "create", "--all-tenants", "--role", "read", "--data", str(data)).returncode == 0
        )
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()}
        assert {"slad.db", "slad.db-wal", "slad.lock", "control.sock"} <= set(modes)
        assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("create", "--role", "read"), 2, "give --tenant"),
        (("create", "--role", "king", "--all-tenants"), 2, "king"),
        (("create", "--role", "read", "--tenant", "a", "--all-tenants"), 7, "not both"),
        (("create", "--role", "read", "--tenant", ""), 7, "tenant_ids[0]: must not be empty"),
        (("revoke", "0123456789"), 6, "no token '0123456789'"),
    ],
)
def test_wrong_arguments_are_told(
    tmp_path: Path, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    data = str(tmp_path / "data")
    slad("tokens", "create", "--all-tenants", "--role", "read", "--create-database", "--data", data)
    done = slad("tokens", *arguments, "--data", data)
    assert done.returncode == code, done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("revoke", "0123456789"),
        ("rotate", "0123456789"),
        ("create", "--all-tenants", "--role", "read"),
    ],
)
def test_a_typo_in_data_makes_no_database(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = slad("tokens", *arguments, "--data", str(tmp_path / "typo"))
    assert (done.returncode, done.stdout) == (3, "")
    assert f"there is no database in {tmp_path}/typo; give --data" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_database_and_an_address_no_token_is_made_in_the_void(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "tokens", "create", "--all-tenants", "--role", "read"],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 3
    assert "there is no database in data" in done.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_change_of_one_token_looks_at_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the event loop: with 10,000 tokens each held up all callers for up to a third of a second."""

    async def save(row: TokenRow) -> None:
        pass

    tokens = Tokens([], save, lambda: 1_000)
    made = [await tokens.create(TRUSTED, "", Role.READ, frozenset({"acme"}), None) for _ in range(50)]
    decoded: list[bytes | None] = []
    decode = tokens_of_slad.decode_tenants
    monkeypatch.setattr(
        tokens_of_slad, "decode_tenants", lambda body: (decoded.append(body), decode(body))[1]
    )
    token_id = made[7][0].token_id
    within = Caller(Role.ADMIN, frozenset({"acme"}), "x")
    _, second = await tokens.rotate(within, token_id, 10)
    await tokens.create(within, "", Role.READ, frozenset({"acme"}), None)
    assert tokens.caller(second).token_id == tokens.caller(made[7][1]).token_id == token_id
    await tokens.revoke(within, token_id)
    for secret in (second, made[7][1]):
        with pytest.raises(Refused):
            tokens.caller(secret)
    assert tokens.caller(made[8][1]).token_id == made[8][0].token_id
    assert len(decoded) == 3, "one for each change"
