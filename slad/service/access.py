"""The one place that decides who may call what.

Each RPC has a Rule here; a service with an RPC that has none is not served. `Gate.admit` finds out who calls,
and that the role is enough; `Gate.check` holds what the request names against the caller's tenants. Where a
method has to narrow what it does by itself (Reach.WITHIN) it asks `caller()`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, NamedTuple, TypeVar

import grpc
import msgspec

from slad.core.access import STRANGER, TRUSTED, Caller, Role
from slad.core.errors import InvalidField, Refusal, Refused
from slad.core.instants import SECOND_MS
from slad.engine.commands import Command
from slad.service.channelz import CHANNELZ
from slad.service.endings import end, endable
from slad.service.places import Kind
from slad.service.tokens import Tokens

log = logging.getLogger(__name__)

COMPLAINT_S: Final = 10.0
"""A warning about refused callers comes at most this often."""

ALARM_MARGIN_S: Final = 0.05
"""The alarm and the clock that it is held against are not the same clock."""


class Reach(Enum):
    """What of the tenants an RPC touches, and so what is to be checked."""

    NOTHING = auto()
    """No tenant's data."""
    TENANT = auto()
    """That of the field tenant_id, which must be given."""
    TICKET = auto()
    """That of the field tenant_id; if it is empty, of the caller's one tenant that has the ticket_id (M7)."""
    WITHIN = auto()
    """What is the caller's: a tenant_id, if there is one, only filters. The method keeps to `caller()`."""
    EVERYTHING = auto()
    """All tenants': only for callers that are not restricted to some."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call an RPC."""

    role: Role | None
    """None: everybody may, also without a token."""
    reach: Reach
    role_of: Callable[[Any], Role] = lambda message: Role.READ
    """The role that this very request needs, if that is more; of a stream its first message counts."""
    kind: Kind = Kind.SHORT
    """What a call takes while it lasts."""


_READ, _WRITE, _ADMIN = Role.READ, Role.WRITE, Role.ADMIN

RULES: Final[Mapping[str, Rule]] = {
    "slad.v1.SlaBackend.StartSlaTracking": Rule(_WRITE, Reach.TENANT),
    "slad.v1.SlaBackend.PauseSla": Rule(_WRITE, Reach.TICKET),
    "slad.v1.SlaBackend.ResumeSla": Rule(_WRITE, Reach.TICKET),
    "slad.v1.SlaBackend.CompleteSla": Rule(_WRITE, Reach.TICKET),
    "slad.v1.SlaBackend.RecordSlaMessage": Rule(_WRITE, Reach.TICKET),
    "slad.v1.SlaBackend.AssignSla": Rule(_WRITE, Reach.TICKET),
    "slad.v1.SlaBackend.CancelSla": Rule(_WRITE, Reach.TICKET),
    "slad.v1.SlaBackend.RetargetSla": Rule(_WRITE, Reach.TICKET),
    "slad.v1.SlaBackend.RetargetSlaTrackings": Rule(_WRITE, Reach.TENANT, kind=Kind.BULK),
    "slad.v1.SlaBackend.ReopenSla": Rule(_WRITE, Reach.TICKET),
    # Each of its commands by the rule of the command's own RPC.
    "slad.v1.SlaBackend.ExecuteSla": Rule(_WRITE, Reach.WITHIN, kind=Kind.COMMANDS),
    "slad.v1.SlaBackend.GetSlaStatus": Rule(_READ, Reach.TICKET),
    "slad.v1.SlaBackend.BatchGetSlaStatus": Rule(_READ, Reach.TENANT),
    "slad.v1.SlaBackend.GetSlaTimeline": Rule(_READ, Reach.TICKET),
    "slad.v1.SlaBackend.ListSlaTrackings": Rule(_READ, Reach.WITHIN),
    "slad.v1.SlaBackend.PreviewSla": Rule(_READ, Reach.NOTHING),
    "slad.v1.SlaBackend.AnnotateSla": Rule(_WRITE, Reach.TICKET),
    "slad.v1.SlaBackend.ReportSla": Rule(_READ, Reach.TENANT),
    "slad.v1.SlaBackend.UnfoldSlaReport": Rule(_READ, Reach.TENANT, kind=Kind.BULK),
    "slad.v1.SlaBackend.ForecastSla": Rule(_READ, Reach.TENANT),
    "slad.v1.SlaBackend.ExportSlaTrackings": Rule(_READ, Reach.WITHIN, kind=Kind.BULK),
    "slad.v1.SlaBackend.ImportSlaTrackings": Rule(_WRITE, Reach.WITHIN, kind=Kind.BULK),
    "slad.v1.SlaBackend.ReconcileSlaTrackings": Rule(
        _READ, Reach.TENANT, lambda message: _WRITE if message.apply else _READ, Kind.BULK
    ),
    # Consumers are a reader's: they change nothing but their own place.
    "slad.v1.SlaBackend.WatchSlaEvents": Rule(_READ, Reach.WITHIN, kind=Kind.WATCH),
    "slad.v1.SlaBackend.AckSlaEvents": Rule(_READ, Reach.WITHIN),
    "slad.v1.SlaAdmin.ListSlaConsumers": Rule(_ADMIN, Reach.WITHIN),
    "slad.v1.SlaAdmin.RemoveSlaConsumer": Rule(_ADMIN, Reach.WITHIN),
    # Sinks are the operator's, and deliver whatever tenants they are told to.
    "slad.v1.SlaAdmin.ListSlaSinks": Rule(_ADMIN, Reach.EVERYTHING),
    "slad.v1.SlaAdmin.ListParkedSlaEvents": Rule(_ADMIN, Reach.EVERYTHING),
    "slad.v1.SlaAdmin.ReplayParkedSlaEvents": Rule(_ADMIN, Reach.EVERYTHING),
    "slad.v1.SlaAdmin.DiscardParkedSlaEvents": Rule(_ADMIN, Reach.EVERYTHING),
    "slad.v1.SlaTokens.CreateSlaToken": Rule(_ADMIN, Reach.WITHIN),
    "slad.v1.SlaTokens.ListSlaTokens": Rule(_ADMIN, Reach.WITHIN),
    "slad.v1.SlaTokens.RevokeSlaToken": Rule(_ADMIN, Reach.WITHIN),
    "slad.v1.SlaTokens.RotateSlaToken": Rule(_ADMIN, Reach.WITHIN),
    "slad.v1.SlaDebug.ListSlaTimers": Rule(_READ, Reach.WITHIN),
    # What goes on inside is of all tenants.
    "slad.v1.SlaDebug.GetSlaInternals": Rule(_ADMIN, Reach.EVERYTHING),
    # Temporal is the operator's, as is which engine carries a ticket.
    "slad.v1.SlaPassThrough.GetSlaPassThrough": Rule(_ADMIN, Reach.EVERYTHING),
    "slad.v1.SlaPassThrough.HandOverSlaTrackings": Rule(_ADMIN, Reach.EVERYTHING),
    "slad.v1.SlaPassThrough.ReleaseSlaWorkflows": Rule(_ADMIN, Reach.EVERYTHING),
    "slad.v1.SlaWorker.ReportSlaThresholds": Rule(_WRITE, Reach.TICKET),
    "slad.v1.TestClock.GetTime": Rule(_READ, Reach.NOTHING),
    "slad.v1.TestClock.AdvanceTime": Rule(_ADMIN, Reach.EVERYTHING),
    # Probes have no token; it tells only SERVING or not.
    "grpc.health.v1.Health.Check": Rule(None, Reach.NOTHING),
    "grpc.health.v1.Health.Watch": Rule(None, Reach.NOTHING, kind=Kind.PROBE),
    **{method.full_name: Rule(_ADMIN, Reach.EVERYTHING) for method in CHANNELZ.methods},
}
"""By full name."""

REFLECTION: Final = Rule(_READ, Reach.NOTHING, kind=Kind.PROBE)
"""Of the whole service: it shows the contract only, but there is no need to show it to strangers."""


class Approach(NamedTuple):
    """How a caller comes."""

    authorization: str | None
    """`Bearer ...`, if it shows that."""
    peer: str
    """Where it is, as gRPC tells it: `ipv4:127.0.0.1:4711`, `unix:`."""
    has_certificate: bool
    """It has shown one that the listener's CA has signed."""


_caller: ContextVar[Caller] = ContextVar("caller")
_peer: ContextVar[Callable[[], str]] = ContextVar("peer")


def caller() -> Caller:
    """Who makes the call that is under way. Raises LookupError outside of one."""
    return _caller.get()


def holder() -> Hashable:
    """In whose line the call under way waits: that of the tenants of its token, or else of its connection."""
    who = _caller.get(STRANGER)
    return who.tenants or who.token_id or _peer.get(str)()


C = TypeVar("C", bound=Command)


def attributed(command: C) -> C:
    """`command` with the token that the call under way came with."""
    who = _caller.get(TRUSTED)
    return msgspec.structs.replace(command, token_id=who.token_id) if who.token_id else command


def become(who: Caller) -> None:
    """Lets `caller()` be `who` for the rest of this task."""
    _caller.set(who)


def rule_of(method: str) -> Rule:
    """The rule of an RPC by its full name. Raises LookupError when there is none: it must not be served."""
    try:
        return RULES[method]
    except KeyError:
        raise LookupError(f"{method} has no rule in slad/service/access.py") from None


class Gate:
    """Lets callers in, or not.

    `tenant_of` finds the one of some tenants that has a ticket (M7), and raises Refused if there is none.
    With `is_exposed` there is a listener that strangers can reach without a certificate.
    """

    def __init__(
        self,
        tokens: Tokens,
        tenant_of: Callable[[str, frozenset[str]], str],
        *,
        is_exposed: bool = False,
    ) -> None:
        self._tokens = tokens
        self._tenant_of = tenant_of
        self._is_exposed = is_exposed
        self._streams: dict[asyncio.Task[Any], Caller] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._complained_at = -COMPLAINT_S
        self._refused = 0

    def admit(self, rule: Rule, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        """Who calls. Raises Refused: UNAUTHENTICATED, or PERMISSION_DENIED when the role is too low."""
        if rule.role is None:
            return STRANGER
        _peer.set(context.peer)
        if not self._tokens.exist and not self._is_exposed:
            _caller.set(TRUSTED)
            return TRUSTED
        who = self.recognize(_approach(context))
        self.enter(rule, who)
        return who

    def recognize(self, approach: Approach) -> Caller:
        """Who comes like that. Raises Refused (UNAUTHENTICATED)."""
        if not self._tokens.exist and not self._is_exposed:
            return TRUSTED
        try:
            return self._identify(approach)
        except Refused as error:
            self._complain(error, approach.peer)
            raise

    def enter(self, rule: Rule, who: Caller) -> None:
        """Lets `who` make a call by a rule. Raises Refused (PERMISSION_DENIED) when the role is too low."""
        if rule.role is not None:
            _require(who, rule.role)
        _caller.set(who)

    def check(self, rule: Rule, who: Caller, request: Any) -> None:
        """Holds `request` against what `who` may touch, and fills in a tenant that was left out.

        Raises Refused (PERMISSION_DENIED; NOT_FOUND and TENANT_AMBIGUOUS as of M7) and InvalidField.
        """
        if who is TRUSTED:
            return
        _require(who, rule.role_of(request))
        if who.tenants is None or rule.reach is Reach.NOTHING:
            return
        if rule.reach is Reach.EVERYTHING:
            raise Refused(
                Refusal.PERMISSION_DENIED, "TENANT_NOT_ALLOWED", "this needs a token for all tenants"
            )
        tenant_id = getattr(request, "tenant_id", "")
        if tenant_id and not who.may_touch(tenant_id):
            raise tenant_not_allowed()
        if tenant_id or rule.reach is Reach.WITHIN:
            return
        if rule.reach is Reach.TENANT:
            raise InvalidField("tenant_id", "REQUIRED", "must not be empty")
        if not request.ticket_id:
            raise InvalidField("ticket_id", "REQUIRED", "must not be empty")
        if len(who.tenants) == 1:
            (request.tenant_id,) = who.tenants
        else:
            request.tenant_id = self._tenant_of(request.ticket_id, who.tenants)

    @contextmanager
    def stream(self, who: Caller) -> Iterator[None]:
        """A stream of `who`'s is open: it is cancelled when the token ends.

        Raises Refused (UNAUTHENTICATED) in place of that cancellation.
        """
        task = asyncio.current_task()
        if not who.token_id or task is None:
            yield
            return
        self._streams[task] = who
        self.end_streams()
        try:
            with endable():
                yield
        finally:
            del self._streams[task]

    def still_good(self, who: Caller) -> None:
        """To be asked before anything more is sent. Raises Refused (UNAUTHENTICATED)."""
        if not self._is_good(who):
            raise _ended()

    def _is_good(self, who: Caller) -> bool:
        return self._tokens.now() < self._tokens.good_until(who)

    def end_streams(self) -> None:
        """Ends the streams whose token is over; does so again when the next one's will be."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        next_end = math.inf
        for task, who in self._streams.items():
            if self._is_good(who):
                next_end = min(next_end, self._tokens.good_until(who))
            else:
                end(task, _ended())
        if next_end < math.inf:
            delay = max((next_end - self._tokens.now()) / SECOND_MS, 0) + ALARM_MARGIN_S
            self._alarm = asyncio.get_running_loop().call_later(delay, self.end_streams)

    def _identify(self, approach: Approach) -> Caller:
        if approach.authorization is not None:
            scheme, _, secret = approach.authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise Refused(Refusal.UNAUTHENTICATED, "TOKEN_INVALID", "authorization is not `Bearer ...`")
            return self._tokens.caller(secret.strip())
        is_near = approach.peer.startswith("unix:")
        if is_near or (not self._tokens.exist and _may_come_without_token(approach)):
            return TRUSTED
        raise Refused(
            Refusal.UNAUTHENTICATED,
            "TOKEN_REQUIRED",
            "a token is needed: send it as metadata, `authorization: Bearer slad_...`",
        )

    def _complain(self, error: Refused, peer: str) -> None:
        self._refused += 1
        now = time.monotonic()
        if now - self._complained_at >= COMPLAINT_S:
            self._complained_at = now
            log.warning(
                "callers without a valid token were refused",
                extra={"peer": peer, "reason": error.reason, "calls": self._refused},
            )
            self._refused = 0


def tenant_not_allowed() -> Refused:
    """What is said of every tenant that is not the caller's, whether it exists or not."""
    return Refused(Refusal.PERMISSION_DENIED, "TENANT_NOT_ALLOWED", "the token is not for this tenant")


def _require(who: Caller, role: Role) -> None:
    if who.role < role:
        raise Refused(
            Refusal.PERMISSION_DENIED,
            "ROLE_TOO_LOW",
            f"this needs the role {role.name.lower()}, the token has {who.role.name.lower()}",
        )


def _ended() -> Refused:
    return Refused(Refusal.UNAUTHENTICATED, "TOKEN_INVALID", "the token has expired, or was revoked")


def _approach(context: grpc.aio.ServicerContext[Any, Any]) -> Approach:
    shown = (str(value) for key, value in context.invocation_metadata() or () if key == "authorization")
    authorization = next(shown, None)
    # Whoever shows a token is known by that alone.
    is_certified = authorization is None and bool(context.auth_context().get("x509_pem_cert"))
    return Approach(authorization, context.peer(), is_certified)


def _may_come_without_token(approach: Approach) -> bool:
    """Whether a TCP peer is on this machine, or has shown a certificate that the listener's CA has signed."""
    return approach.has_certificate or approach.peer.startswith(("ipv4:127.", "ipv6:%5B::1%5D:"))
