"""What all pages share: who looks, by which clocks, and the frame that they are drawn in."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from slad import __version__
from slad.console.calls import Calls
from slad.console.errors import RETRY_AFTER_S, Trouble
from slad.console.times import Times, iso, times
from slad.console.visitor import COOKIE, ZONE_COOKIE, visitor
from slad.console.words import STATUSES, status_word, ticket_path
from slad.core.access import Caller
from slad.core.time_text import open_span, span
from slad.engine.time_source import TimeSource


class Shell:
    """Draws pages. Safe to use from the thread that reads."""

    def __init__(self, calls: Calls, clock: TimeSource) -> None:
        self._calls = calls
        self._clock = clock
        self._templates = Environment(
            loader=PackageLoader("slad.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(iso=iso, span=span, open_span=open_span, word=status_word)
        self._templates.globals.update(
            ticket_path=ticket_path, version=__version__, statuses=STATUSES, is_virtual=clock.is_virtual
        )

    def who(self, request: web.Request) -> Caller:
        """Who looks. Raises Refused."""
        return visitor(request, self._calls)

    def times(self, request: web.Request) -> Times:
        """The clocks that the reader has chosen. Raises InvalidField."""
        return times(request.query.get("zone", ""), self.reader_zone(request), "", self.now())

    def reader_zone(self, request: web.Request) -> str:
        """The reader's own zone, as the browser says."""
        return request.cookies.get(ZONE_COOKIE, "")

    def now(self) -> int:
        """The time by slad's clock, UTC epoch ms."""
        return self._clock.now()

    def page(
        self, request: web.Request, template: str, by: Times, code: int = 200, **values: Any
    ) -> web.Response:
        """A whole page as an answer."""
        return html(self.render(request, template, by, **values), code)

    def render(self, request: web.Request, template: str, by: Times, **values: Any) -> str:
        """A whole page."""
        query = {key: value for key, value in request.query.items() if key != "zone"}
        return self._templates.get_template(template).render(
            times=by,
            here=request.path_qs if request.method == "GET" else "/",
            path=request.path,
            query=query,
            stream=f"{quote(request.path.rstrip('/'), safe='/%')}/live",
            query_string=request.query_string,
            is_signed_in=COOKIE in request.cookies,
            **{"live": None, "asked": "", **values},
        )

    def part(self, template: str, **values: Any) -> str:
        """A part of a page."""
        return self._templates.get_template(template).render(**values)

    def trouble(self, request: web.Request, told: Trouble) -> web.Response:
        """The page that says why another one cannot be shown."""
        response = self.page(
            request, "trouble.html", times("UTC", "", "", self.now()), told.code, trouble=told
        )
        if told.code == 503:
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response


def html(text: str, code: int = 200) -> web.Response:
    """An answer that is a page."""
    return web.Response(text=text, status=code, content_type="text/html", charset="utf-8")
