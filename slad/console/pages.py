"""The pages: what each of them asks, and with what it is drawn."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiohttp import web
from markupsafe import Markup

from slad.console.axis import WHOLE, ZOOMS
from slad.console.breaches import RecentBreaches
from slad.console.calls import Calls
from slad.console.delivery import delivery
from slad.console.live import MAX_STREAMS, MAX_STREAMS_OF_CALLER, LiveStream, gathered
from slad.console.now import Boards, NowView
from slad.console.report_pages import ReportPages
from slad.console.shell import Shell, html
from slad.console.ticket import Asked, TicketView, look, zoom_of
from slad.console.times import Times, read_instant
from slad.console.visitor import (
    COOKIE,
    comes_from_elsewhere,
    knows,
    local_path,
    sign_in,
)
from slad.console.words import commands, state_word, ticket_path
from slad.core.access import Caller, Tenants
from slad.core.errors import InvalidField, Refusal, Refused
from slad.core.instants import format_instant
from slad.delivery.hub import EventHub
from slad.engine.queries import Queries
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource
from slad.service.places import Shares

MAX_QUERY: Final = 1_000
"""Characters of what is searched for."""

FOUND: Final = 50
"""Tickets that a search lists."""

LOOK_AGAIN_S: Final = 30.0
"""A ticket's page moves on with time even when nothing happens."""

SETTLE_S: Final = 0.5
"""What happens at once is shown at once."""


FORM_S: Final = 10.0
"""How long a form may take to arrive."""


class Parts(NamedTuple):
    """What the pages read. `queries` is a thread of their own: they are in nobody's way."""

    calls: Calls
    queries: QueryThread
    hub: EventHub
    clock: TimeSource


class Pages:
    """The handlers of all addresses. They raise Refused and InvalidField; `server` makes pages of them."""

    def __init__(self, parts: Parts, breaches: RecentBreaches) -> None:
        self._parts = parts
        self._calls = parts.calls
        self.shell = Shell(parts.calls, parts.queries, parts.clock)
        self._report = ReportPages(self.shell, parts.calls)
        self._boards = Boards(parts.calls, parts.queries, parts.hub, breaches, parts.clock)
        self.grpc_address = ""
        """What the commands that a page shows call."""
        self._live = Shares(MAX_STREAMS, MAX_STREAMS_OF_CALLER)
        self._ending = asyncio.Event()
        self._fragments: dict[tuple[int, str], tuple[NowView, asyncio.Future[str]]] = {}

    def routes(self) -> list[web.RouteDef]:
        """All addresses but those of files."""
        return [
            web.get("/", self.now),
            web.get("/live", self.now_live, allow_head=False),
            web.get("/search", self.search),
            web.get("/t/{tenant:[^/]+}/{ticket:[^/]+}", self.ticket),
            web.get("/t/{tenant:[^/]+}/{ticket:[^/]+}/live", self.ticket_live, allow_head=False),
            web.get("/t/{tenant:[^/]+}/{ticket:[^/]+}/timeline.svg", self.timeline_svg),
            web.get("/ticket", self.ticket),
            web.get("/ticket/live", self.ticket_live, allow_head=False),
            web.get("/ticket/timeline.svg", self.timeline_svg),
            web.get("/delivery", self.delivery),
            *self._report.routes(),
            web.post("/sign-in", self.sign_in),
            web.post("/sign-out", self.sign_out),
        ]

    def end_streams(self) -> None:
        """Ends what is open, and what is counted."""
        self._boards.stop()
        self._ending.set()

    # --- pages

    async def now(self, request: web.Request) -> web.Response:
        """What goes on now."""
        who, by = self.shell.who(request), self.shell.times(request)
        view = await self._boards.view(who)
        live = Markup(await self._now_fragment(view, by))  # noqa: S704
        return await self.shell.page(request, "now.html", by, live=live)

    async def search(self, request: web.Request) -> web.Response:
        """The ticket that is searched for, or what begins like it."""
        who, by = self.shell.who(request), self.shell.times(request)
        self._calls.admit(who, "SlaBackend.ListSlaTrackings")
        asked = request.query.get("q", "").strip()[:MAX_QUERY]
        if not asked:
            raise web.HTTPSeeOther("/")
        tenant, _, rest = asked.partition(" ")
        found = await self._tickets_like(asked, who.tenants)
        if not found and rest:
            found = await self._tickets_like(rest.strip(), who.narrowed(tenant))
        exact = [one for one in found if one[1] in (asked, rest.strip())]
        if len(exact) == 1:
            raise web.HTTPSeeOther(ticket_path(*exact[0]))
        code = 200 if found else 404
        return await self.shell.page(
            request, "search.html", by, code, asked=asked, found=found[:FOUND], more=len(found) > FOUND
        )

    async def ticket(self, request: web.Request) -> web.Response:
        """One ticket."""
        asked = self._asked(request)

        def draw(queries: Queries) -> str:
            view = look(queries, asked, self.shell.now())
            live = Markup(self._ticket_fragment(view))  # noqa: S704
            return self.shell.draw(
                "ticket.html", **self.shell.frame(request, view.times), view=view, live=live
            )

        return html(await self.shell.read(draw))

    async def timeline_svg(self, request: web.Request) -> web.Response:
        """The picture of one ticket by itself."""
        asked = self._asked(request)
        view = await self.shell.read(lambda queries: look(queries, asked, self.shell.now(), alone=True))
        return web.Response(text=view.picture, content_type="image/svg+xml", charset="utf-8")

    async def delivery(self, request: web.Request) -> web.Response:
        """Consumers, sinks, and what is parked."""
        who, by = self.shell.who(request), self.shell.times(request)
        return await self.shell.page(request, "delivery.html", by, view=await delivery(self._calls, who))

    # --- streams

    async def now_live(self, request: web.Request) -> web.StreamResponse:
        """The part of the first page that changes, whenever it does."""
        who, by = self.shell.who(request), self.shell.times(request)

        async def fragments() -> AsyncGenerator[str]:
            async for view in self._boards.changes(who):
                yield await self._now_fragment(view, by._replace(now=self.shell.now()))

        return await self._stream(request, who, fragments())

    async def ticket_live(self, request: web.Request) -> web.StreamResponse:
        """The part of a ticket's page that changes, whenever something happens to the ticket."""
        asked, who = self._asked(request), self.shell.who(request)
        happened = asyncio.Event()

        async def listen() -> None:
            needle = asked.ticket_id.encode()
            async for events in gathered(self._parts.hub, self._parts.hub.head, self._parts.clock):
                if any(needle in event.body for event in events):
                    happened.set()

        async def fragments() -> AsyncGenerator[str]:
            listener = asyncio.create_task(listen(), name="slad-console-ticket")
            try:
                while not listener.done():
                    happened.clear()
                    yield await self.shell.read(
                        lambda queries: self._ticket_fragment(look(queries, asked, self.shell.now()))
                    )
                    with suppress(TimeoutError):
                        await asyncio.wait_for(happened.wait(), LOOK_AGAIN_S)
                        await asyncio.sleep(SETTLE_S)
            finally:
                listener.cancel()

        return await self._stream(request, who, fragments())

    async def _stream(
        self, request: web.Request, who: Caller, fragments: AsyncGenerator[str]
    ) -> web.StreamResponse:
        stream = LiveStream(request)
        try:
            with self._live.taken(who.tenants or who.token_id, _too_many), self._calls.stream(who):
                await stream.send(fragments, self._ending)
        except Refused:
            if not stream.response.prepared:
                raise
        return stream.response

    # --- signing in

    async def sign_in(self, request: web.Request) -> web.Response:
        """Takes a token from a form."""
        if comes_from_elsewhere(request):
            raise Refused(Refusal.PERMISSION_DENIED, "HOST_NOT_LOCAL", "another site sent this form")
        form = await _form(request)
        token = str(form.get("token", "")).strip()
        knows(token, request, self._calls)
        response = web.Response(status=303, headers={"Location": local_path(str(form.get("next", "/")))})
        sign_in(response, request, token)
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        """Lets the browser forget the token."""
        response = web.Response(status=303, headers={"Location": "/"})
        response.del_cookie(COOKIE)
        return response

    # --- what they share

    def _asked(self, request: web.Request) -> Asked:
        """Which ticket a page is about, if the visitor may see it."""
        named, query = request.match_info, request.query
        fields: dict[str, Any] = {
            "tenant_id": named.get("tenant") or query.get("tenant", ""),
            "ticket_id": named.get("ticket") or query.get("ticket", ""),
        }
        if not fields["ticket_id"]:
            raise InvalidField("ticket", "REQUIRED", "must not be empty")
        generation = query.get("generation", "")
        if generation:
            if not re.fullmatch("[1-9][0-9]{0,8}", generation):
                raise InvalidField("generation", "NOT_POSITIVE", "it is a number from 1 on")
            fields["generation"] = int(generation)
        admitted = self._calls.admit(self.shell.who(request), "SlaBackend.GetSlaTimeline", **fields)
        return Asked(
            admitted.tenant_id,
            admitted.ticket_id,
            admitted.generation if admitted.HasField("generation") else None,
            zoom_of(query.get("zoom", "")),
            read_instant("at", query.get("at", "")),
            query.get("zone", ""),
            self.shell.reader_zone(request),
        )

    async def _tickets_like(self, prefix: str, tenants: Tenants) -> list[tuple[str, str]]:
        return await self.shell.read(
            lambda queries: queries.overview.tickets_like(prefix, tenants, FOUND + 1)
        )

    async def _now_fragment(self, view: NowView, by: Times) -> str:
        """Drawn once for all who look at the same view by the same clocks."""
        key = id(view), by.name
        known = self._fragments.get(key)
        failed = known is not None and known[1].done() and known[1].exception() is not None
        if known is None or failed or known[0] is not view or self._parts.clock.is_virtual:
            if len(self._fragments) > MAX_STREAMS:
                self._fragments.clear()
            drawing = asyncio.ensure_future(
                self.shell.read(lambda _: self.shell.draw("_now.html", view=view, times=by))
            )
            known = self._fragments[key] = view, drawing
        return await asyncio.shield(known[1])

    def _ticket_fragment(self, view: TicketView) -> str:
        asked, (begin, end) = view.asked, view.window

        def link(page: str = "", **changes: Any) -> str:
            query = {
                "generation": asked.generation,
                "zoom": asked.zoom if asked.zoom != WHOLE else "",
                "at": format_instant(asked.at) if asked.at is not None and asked.zoom != WHOLE else "",
                "zone": asked.zone,
            }
            return ticket_path(asked.tenant_id, asked.ticket_id, page, **{**query, **changes})

        return self.shell.draw(
            "_ticket.html",
            view=view,
            times=view.times,
            picture=Markup(view.picture),  # noqa: S704 - `svg` has escaped what is not its own
            word=state_word(view.status),
            link=link,
            zooms=(WHOLE, *ZOOMS),
            earlier=format_instant(max(0, begin)),
            later=format_instant(end),
            middle=format_instant((begin + end) // 2),
            commands=commands(self.grpc_address, asked.tenant_id, asked.ticket_id),
        )


async def _form(request: web.Request) -> Mapping[str, Any]:
    """The form that a request holds. Raises web.HTTPException."""
    try:
        async with asyncio.timeout(FORM_S):
            return await request.post()
    except web.HTTPException:
        raise
    except Exception as error:  # of whatever kind: its encoding, its charset, its parts, or too slow
        raise web.HTTPBadRequest(text=type(error).__name__) from None


def _too_many(most: int, whose: str) -> Refused:
    message = f"{most} pages {whose} are live already"
    return Refused(Refusal.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS", message)
