"""What all pages share: who looks, by which clocks, and the frame that they are drawn in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from slad import __version__
from slad.console.calls import Calls
from slad.console.errors import RETRY_AFTER_S, Trouble
from slad.console.times import Times, times
from slad.console.visitor import COOKIE, ZONE_COOKIE, visitor
from slad.console.words import STATUSES, status_word, ticket_path
from slad.core.access import Caller
from slad.core.errors import Refusal, Refused
from slad.core.instants import format_instant
from slad.core.time_text import open_span, span
from slad.engine.giving_way import giving_way
from slad.engine.queries import Queries
from slad.engine.query_thread import QueryThread
from slad.engine.time_source import TimeSource
from slad.service.access import become, holder
from slad.service.places import Shares

T = TypeVar("T")

MAX_WAITING: Final = 32
"""Pages that wait for the thread that reads; more are asked to come again."""

MAX_WAITING_OF_CALLER: Final = 16
"""Of those, pages for the tenants of one token."""


class Shell:
    """Draws pages, on the thread that reads: to draw takes as long as to read."""

    def __init__(self, calls: Calls, queries: QueryThread, clock: TimeSource) -> None:
        self._calls = calls
        self._queries = queries
        self._clock = clock
        self._waiting = Shares(MAX_WAITING, MAX_WAITING_OF_CALLER)
        self._templates = Environment(
            loader=PackageLoader("slad.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(iso=format_instant, span=span, open_span=open_span, word=status_word)
        self._templates.globals.update(
            ticket_path=ticket_path,
            version=__version__,
            statuses=STATUSES,
            is_virtual=clock.is_virtual,
            live=None,
            asked="",
        )

    def who(self, request: web.Request) -> Caller:
        """Who looks, and in whose line what is read waits from now on. Raises Refused."""
        who = visitor(request, self._calls)
        become(who)
        return who

    def times(self, request: web.Request) -> Times:
        """The clocks that the reader has chosen. Raises InvalidField."""
        return times(request.query.get("zone", ""), self.reader_zone(request), "", self.now())

    def reader_zone(self, request: web.Request) -> str:
        """The reader's own zone, as the browser says."""
        return request.cookies.get(ZONE_COOKIE, "")

    def now(self) -> int:
        """The time by slad's clock, UTC epoch ms."""
        return self._clock.now()

    async def page(
        self, request: web.Request, template: str, by: Times, code: int = 200, **values: Any
    ) -> web.Response:
        """A whole page as an answer."""
        frame = self.frame(request, by)
        return html(await self.read(lambda _: self.draw(template, **frame, **values)), code)

    def frame(self, request: web.Request, by: Times) -> dict[str, Any]:
        """What every whole page is drawn with."""
        return {
            "times": by,
            "here": request.path_qs if request.method == "GET" else "/",
            "path": request.path,
            "query": {key: value for key, value in request.query.items() if key != "zone"},
            "stream": f"{quote(request.path.rstrip('/'), safe='/%')}/live",
            "query_string": request.query_string,
            "is_signed_in": COOKIE in request.cookies,
        }

    def draw(self, template: str, **values: Any) -> str:
        """A page or a part of one. For the thread that reads."""
        return "".join(giving_way(self._templates.get_template(template).generate(**values)))

    async def read(self, query: Callable[[Queries], T]) -> T:
        """What `query` makes on the thread that reads. Raises what it raises, and Refused (OVERLOADED)."""
        with self._waiting.taken(caller := holder(), _overloaded):
            return await self._queries.run(query, caller)

    def trouble(self, request: web.Request, told: Trouble) -> web.Response:
        """The page that says why another one cannot be shown; it waits for no thread."""
        frame = self.frame(request, times("UTC", "", "", self.now()))
        page = self._templates.get_template("trouble.html").render(**frame, trouble=told)
        response = html(page, told.code)
        if told.code == 503:
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response


def html(text: str, code: int = 200) -> web.Response:
    """An answer that is a page."""
    return web.Response(text=text, status=code, content_type="text/html", charset="utf-8")


def _overloaded(most: int, whose: str) -> Refused:
    return Refused(Refusal.UNAVAILABLE, "OVERLOADED", f"{most} pages {whose} wait already")
