"""CloudEvents over HTTPS: a POST an event, or a batch of them, signed as Standard Webhooks has it.

An answer 2xx is the acknowledgement; its body does not matter. Redirects are not followed, proxies of the
environment are not used, and private addresses are not connected to unless their network is named.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import SplitResult, urlsplit
from uuid import UUID, uuid5

import aiohttp
from slad_client.v1 import types_pb2 as pb

from slad import __version__
from slad.config.kinds import Secret, SecretError, SettingError
from slad.config.sinks import WebhookSettings
from slad.core.instants import SECOND_MS
from slad.delivery.sinks import formats, signing
from slad.delivery.sinks.guard import AddressGuard, literal_address
from slad.delivery.sinks.sink import DeliveryError, Rejected, Sink, Unavailable
from slad.storage.store import Lineage

KEEPALIVE_S: Final = 4.0
"""How long an idle connection is kept: less than most servers do, so that no request meets a closing one."""

DRAIN_S: Final = 1.0
"""How long the rest of an answer may take."""

MAX_ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read, so that its connection can be used again; a longer one is cut off."""

NOT_ABOUT_THE_EVENT: Final = frozenset({401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 417, 421, 426, 451})
"""Answers 4xx that every event would get: the url or the credentials are wrong."""

BATCHES: Final = UUID("b5bd20d9-9d7b-5f0f-8a4c-0e6ad2a2b8f1")
"""The namespace of the ids of batches."""

TOO_EARLY, TOO_MANY, REQUEST_TIMEOUT = 425, 429, 408


class Webhook:
    """Posts to one endpoint."""

    def __init__(self, settings: WebhookSettings, lineage: Lineage) -> None:
        url = _url(settings)
        self._settings, self._lineage = settings, lineage
        self.batch, self.parallel = settings.batch, settings.parallel
        self._timeout_s = settings.timeout_ms / SECOND_MS
        self.target = f"{url.scheme}://{url.netloc}"
        """The url without path and query, which may be secrets."""
        self._guard = AddressGuard(settings.allow_networks)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.parallel,
                ssl=_tls(settings) if url.scheme == "https" else True,
                keepalive_timeout=KEEPALIVE_S,
                socket_factory=self._guard.open_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": f"slad/{__version__}"},
        )

    async def deliver(self, events: Sequence[pb.SlaEvent]) -> None:
        """Posts the events. Raises Unavailable, Rejected."""
        try:
            await self._post(events)
        except Rejected:
            if len(events) == 1:
                raise
            # The answer does not say which of them it is.
            middle = len(events) // 2
            await self.deliver(events[:middle])
            try:
                await self.deliver(events[middle:])
            except DeliveryError as error:
                error.delivered += middle
                raise

    async def close(self) -> None:
        """Closes the connection."""
        await self._session.close()

    async def _post(self, events: Sequence[pb.SlaEvent]) -> None:
        told = [formats.cloud_event(event, self._settings.source, self._lineage) for event in events]
        body = formats.encode(told if self.batch > 1 else told[0])
        headers = {
            **self._headers(message_id([event.event_id for event in events]), body),
            "Content-Type": formats.BATCH_TYPE if self.batch > 1 else formats.EVENT_TYPE,
        }
        self._guard.forbidden = None
        try:
            async with self._session.post(
                self._settings.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                error = _error_of(answer.status, answer.headers.get("Retry-After"), time.time())
                await _drain(answer)
        except TimeoutError:
            within = f"{self._timeout_s:g} s"
            raise Unavailable(f"no answer within {within}", suspect=True) from None
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", "")
            raise Unavailable(f"its certificate is not good: {reason or 'not trusted'}") from None
        except aiohttp.ClientConnectorSSLError:
            raise Unavailable(
                "no TLS with it: it speaks something else, or no version and cipher in common"
            ) from None
        except aiohttp.ClientConnectorDNSError:
            raise Unavailable("its name cannot be resolved") from None
        except aiohttp.ClientConnectorError as error:
            if self._guard.forbidden is not None:
                forbidden = (
                    f"its address {self._guard.forbidden} is not public; allow_networks would permit it"
                )
                raise Unavailable(forbidden) from None
            raise Unavailable(f"cannot be reached: {_reason(error.os_error)}") from None
        except aiohttp.ClientError as error:
            # It broke off, or what it sent is not HTTP; it may be this event that it does not survive.
            raise Unavailable(f"no HTTP answer ({type(error).__name__})", suspect=True) from None
        except SecretError as error:
            raise Unavailable(str(error)) from None
        if error is not None:
            raise error

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        keys = [_key(secret) for secret in (*self._settings.secret_file, *self._settings.secret_env)]
        found = signing.headers(message_id, int(time.time()), body, keys)
        if self._settings.authorization is not None:
            found["Authorization"] = _authorization(self._settings.authorization)
        return found


def message_id(event_ids: Sequence[str]) -> str:
    """The id of a message with these events: the same when they come together again."""
    return event_ids[0] if len(event_ids) == 1 else str(uuid5(BATCHES, " ".join(event_ids)))


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Reads the rest of an answer, so that its connection can be used again, unless that takes long."""
    try:
        async with asyncio.timeout(DRAIN_S):
            await answer.content.read(MAX_ANSWER)
    except (TimeoutError, aiohttp.ClientError):
        # What counts has been said in the first line.
        answer.close()


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "no connection"


def _error_of(status: int, retry_after: str | None, now_s: float) -> DeliveryError | None:
    """What an answer means (docs/events.md has the table)."""
    if 200 <= status < 300:
        return None
    pause = _pause(retry_after, now_s)
    if 300 <= status < 400:
        return Unavailable(f"answers {status}: it redirects; slad does not follow")
    if status in (TOO_MANY, TOO_EARLY):
        return Unavailable(f"answers {status}: it asks for a pause", retry_after_s=pause)
    if status in NOT_ABOUT_THE_EVENT:
        return Unavailable(f"answers {status}: its url or credentials are wrong")
    if 400 <= status < 500 and status != REQUEST_TIMEOUT:
        return Rejected(f"answers {status}: it does not take this event")
    return Unavailable(f"answers {status}", retry_after_s=pause, suspect=True)


def _pause(retry_after: str | None, now_s: float) -> float | None:
    """Retry-After, seconds or a date, in seconds from now; None when there is none, or it makes no sense."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now_s, UTC)).total_seconds())


def _key(secret: Secret) -> bytes:
    try:
        return signing.decode_key(secret.read())
    except signing.KeyFormatError as error:
        raise SecretError(f"the secret {error}") from None


def _authorization(secret: Secret) -> str:
    value = secret.read()
    if not (value.isascii() and value.isprintable()):
        raise SecretError("the authorization is not one line of ASCII, and cannot be a header")
    return value


# --- settings


def prepare(settings: WebhookSettings) -> Callable[[Lineage], Sink]:
    """How to open such a sink. Raises SettingError."""
    if _url(settings).scheme == "https":
        _tls(settings)
    for field in ("secret_file", "secret_env"):
        for secret in getattr(settings, field):
            try:
                _key(secret)
            except SecretError as error:
                raise SettingError(field, str(error)) from None
    if (authorization := settings.authorization) is not None:
        try:
            _authorization(authorization)
        except SecretError as error:
            field = "authorization_file" if settings.authorization_file else "authorization_env"
            raise SettingError(field, str(error)) from None
    return lambda lineage: Webhook(settings, lineage)


def _url(settings: WebhookSettings) -> SplitResult:
    try:
        url = urlsplit(settings.url)
        _ = url.port
    except ValueError:
        raise SettingError("url", "is not a URL") from None
    if url.scheme == "http" and not settings.allow_http:
        problem = "is not https://; what is sent could be read by others (allow_http = true)"
        raise SettingError("url", problem)
    if url.scheme not in ("http", "https"):
        raise SettingError("url", "must begin with https://")
    if not url.hostname:
        raise SettingError("url", "must name a host")
    try:
        address = literal_address(url.hostname)
    except ValueError as error:
        raise SettingError("url", str(error)) from None
    if address is not None and not AddressGuard(settings.allow_networks).allows(address):
        raise SettingError("url", f"{url.hostname} is not a public address; allow_networks would permit it")
    if "@" in url.netloc:
        problem = "must not hold a user name or password; use authorization_file or authorization_env"
        raise SettingError("url", problem)
    if url.fragment:
        raise SettingError("url", "must not have a #fragment")
    return url


def _tls(settings: WebhookSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    field = "ca_file"
    try:
        if settings.ca_file is not None:
            context.load_verify_locations(settings.ca_file)
        field = "cert_file"
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except ssl.SSLError as error:
        reason = error.reason or "not PEM"
        raise SettingError(field, f"{getattr(settings, field)} cannot be used: {reason}") from None
    return context
