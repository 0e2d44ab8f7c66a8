"""What a page says when it cannot be shown: what is wrong, what to do, and the status code."""

from __future__ import annotations

from typing import Final, NamedTuple

from aiohttp import web

from slad.core.errors import InvalidField, Refusal, Refused
from slad.storage.database import StorageError

RETRY_AFTER_S: Final = 2

_CODES: Final = {
    Refusal.UNAUTHENTICATED: 401,
    Refusal.PERMISSION_DENIED: 403,
    Refusal.NOT_FOUND: 404,
    Refusal.FAILED_PRECONDITION: 409,
    Refusal.OUT_OF_RANGE: 400,
    Refusal.RESOURCE_EXHAUSTED: 503,
    Refusal.UNAVAILABLE: 503,
    Refusal.UNIMPLEMENTED: 501,
    Refusal.DATA_LOSS: 500,
}

_ADVICE: Final = {
    "TRACKING_NOT_FOUND": "Check the id, or search for its beginning. slad knows no ticket before its start.",
    "GENERATION_NOT_FOUND": "Leave the generation out to see the latest one.",
    "TOKEN_REQUIRED": "Sign in with a token. An operator makes one with: slad tokens create --role read",
    "TOKEN_INVALID": "Sign in with another token. An operator makes one with: slad tokens create --role read",
    "TOKEN_EXPIRED": "Sign in with a new token. An operator makes one with: slad tokens create --role read",
    "TENANT_NOT_ALLOWED": "Sign in with a token for this tenant, or for all tenants.",
    "ROLE_TOO_LOW": "Sign in with a token that has the role.",
    "HOST_NOT_LOCAL": "Open it as http://127.0.0.1 or http://localhost with the same port, or use a token.",
    "UNKNOWN_ENUM_VALUE": "Choose one of these, or leave it out.",
    "UNKNOWN_TIME_ZONE": "Give an IANA name such as Europe/Berlin, or choose UTC.",
    "STOPPING": "slad is stopping. Reload the page when it has started again.",
    "OVERLOADED": "Wait a moment and reload.",
    "TOO_MANY_STREAMS": "Close some pages of the console, or wait a moment and reload.",
    "MALFORMED_DATE": "Choose a month on the page of reports.",
    "SINK_NOT_FOUND": "The page of sinks lists those that are configured.",
}


class Trouble(NamedTuple):
    """Why a page cannot be shown."""

    code: int
    title: str
    message: str
    advice: str
    reason: str
    """As in docs/errors.md; empty for what is not slad's word."""

    @property
    def asks_for_token(self) -> bool:
        """Whether signing in may help."""
        return self.code in (401, 403)


_TITLES: Final = {
    400: "This address is wrong",
    401: "Sign in",
    403: "Not for this token",
    404: "Not found",
    405: "Not found",
    409: "Not possible now",
    500: "A fault of slad",
    503: "Try again later",
}


def trouble(error: Exception) -> Trouble:
    """What to say of an error."""
    if isinstance(error, InvalidField):
        told = f"{error.field}: {error.message}" if error.field else error.message
        return _trouble(400, told, error.reason)
    if isinstance(error, Refused):
        return _trouble(_CODES.get(error.kind, 500), error.message, error.reason)
    if isinstance(error, web.HTTPException):
        return _trouble(error.status, f"There is no such page ({error.reason}).", "")
    if isinstance(error, StorageError):
        return _trouble(503, "slad cannot read its data now.", "")
    return _trouble(500, "The log of slad says more.", "INTERNAL")


def _trouble(code: int, message: str, reason: str) -> Trouble:
    title = _TITLES.get(code, "This is not possible")
    advice = _ADVICE.get(reason, "Go to the first page, or reload in a moment." if code >= 500 else "")
    return Trouble(code, title, message, advice or "Go to the first page.", reason)
