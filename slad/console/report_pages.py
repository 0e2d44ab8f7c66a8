"""The pages of a month: attainment, its CSV, and the promises behind a figure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from aiohttp import web
from google.protobuf.timestamp_pb2 import Timestamp

from slad.console.calls import Calls
from slad.console.report import FIGURES, GROUPS, Month, as_csv, figure, group_key, month, rows, verdict
from slad.console.shell import Shell
from slad.console.times import Times
from slad.core.access import Caller

LISTED: Final = 200
"""Promises that a page lists."""


class Wanted(NamedTuple):
    """Which report."""

    who: Caller
    times: Times
    tenant_id: str
    month: Month
    by: str

    def fields(self) -> dict[str, Any]:
        """Of ReportSlaRequest, and of UnfoldSlaReportRequest."""
        period = {}
        for name, at in (("from_time", self.month.from_ms), ("to_time", self.month.to_ms)):
            period[name] = Timestamp()
            period[name].FromMilliseconds(at)
        return {
            "tenant_id": self.tenant_id,
            "timezone": self.times.name,
            "group_by": [GROUPS[self.by]],
            **period,
        }

    def link(self, page: str = "", **changes: str | None) -> str:
        """The address of the same report with something changed."""
        query = {
            "tenant": self.tenant_id,
            "month": self.month.name,
            "by": self.by,
            "zone": self.times.choice if self.times.choice not in ("reader", "schedule") else "",
            **changes,
        }
        return f"/report{page}?{urlencode({key: value for key, value in query.items() if value is not None})}"


class ReportPages:
    """Their handlers. They raise Refused and InvalidField."""

    def __init__(self, shell: Shell, calls: Calls) -> None:
        self._shell = shell
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        """All addresses."""
        return [
            web.get("/report", self.report),
            web.get("/report.csv", self.csv),
            web.get("/report/promises", self.promises),
        ]

    async def report(self, request: web.Request) -> web.Response:
        """Attainment of a month."""
        wanted = self._wanted(request)
        reply = None
        if wanted.tenant_id:
            reply = await self._calls.call(wanted.who, "SlaBackend.ReportSla", **wanted.fields())
        return await self._shell.page(
            request,
            "report.html",
            wanted.times,
            wanted=wanted,
            reply=reply,
            rows=rows(reply) if reply is not None else [],
            groups=GROUPS,
            figures=FIGURES,
        )

    async def csv(self, request: web.Request) -> web.Response:
        """The same for spreadsheets."""
        wanted = self._wanted(request)
        reply = await self._calls.call(wanted.who, "SlaBackend.ReportSla", **wanted.fields())
        name = f"attainment-{wanted.month.name}-by-{wanted.by}.csv"
        return web.Response(
            text=as_csv(wanted.by, reply),
            content_type="text/csv",
            charset="utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def promises(self, request: web.Request) -> web.Response:
        """The promises that a figure counts."""
        wanted, name = self._wanted(request), figure(request.query.get("figure", ""))
        fields = {**wanted.fields(), "figures": [FIGURES[name]]}
        if (group := request.query.get("group")) is not None:
            fields["group"] = [group]
        entries: list[Any] = []
        replies = self._calls.replies(wanted.who, "SlaBackend.UnfoldSlaReport", **fields)
        try:
            async for reply in replies:
                entries += reply.entries
                if len(entries) > LISTED:
                    break
        finally:
            await replies.aclose()
        return await self._shell.page(
            request,
            "promises.html",
            wanted.times,
            wanted=wanted,
            figure=name.replace("_", " "),
            group=group,
            entries=[(entry, verdict(entry)) for entry in entries[:LISTED]],
            more=len(entries) > LISTED,
        )

    def _wanted(self, request: web.Request) -> Wanted:
        who, times = self._shell.who(request), self._shell.times(request)
        tenant_id = request.query.get("tenant", "")
        if not tenant_id and who.tenants is not None and len(who.tenants) == 1:
            (tenant_id,) = who.tenants
        return Wanted(
            who,
            times,
            tenant_id,
            month(request.query.get("month", ""), times.zone, times.now),
            group_key(request.query.get("by", "")),
        )
