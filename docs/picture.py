"""The picture of README.md: one ticket's time, as `slad explain` draws it (`make docs`).

No daemon is asked. The ticket is a preview with fixed instants, so that the picture changes only when the
drawing does.
"""

from __future__ import annotations

import io
from typing import Final

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text
from slad_client.v1 import sla_backend_pb2 as rpc
from slad_client.v1 import types_pb2 as pb

from slad.cli import drawing, time_text
from slad.cli.drawing import BLOCKS, DrawnLane
from slad.cli.explain import now_at
from slad.cli.preview import marks_of
from slad.service.fields import Fields
from slad.service.preview import PreviewedTicket
from slad.service.requests import RequestReader

WIDTH: Final = 113
TITLE: Final = "slad explain T-1"
ZONE: Final = "Europe/Berlin"
STARTED_AT: Final = "2026-03-05T13:00:00Z"
PAUSE: Final = ("2026-03-05T15:00:00Z", "2026-03-06T09:00:00Z")
NOW: Final = "2026-03-09T09:30:00Z"

FORMAT: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own, without fonts of another site."""


def picture() -> str:
    """The picture as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False, color_system="truecolor")
    for line in _lines():
        console.print(line, no_wrap=True, overflow="ellipsis")
    return console.export_svg(title=TITLE, theme=MONOKAI, code_format=FORMAT, unique_id="slad")


def _lines() -> list[Text]:
    """A promise of ten office hours, kept waiting overnight and over a weekend."""
    request = rpc.PreviewSlaRequest(
        targets=[pb.SlaPolicyTarget(resolution_time_minutes=600)],
        notification_thresholds=[50, 80],
        schedule=pb.BusinessHoursSchedule(
            timezone=ZONE,
            entries=[
                pb.BusinessHoursEntry(day_of_week=day, start_time="09:00", end_time="17:00", is_enabled=True)
                for day in range(1, 6)
            ],
        ),
        pauses=[pb.SlaPause(reason=pb.SLA_PAUSE_REASON_AWAITING_CLIENT)],
    )
    request.started_at.FromJsonString(STARTED_AT)
    request.pauses[0].paused_at.FromJsonString(PAUSE[0])
    request.pauses[0].resumed_at.FromJsonString(PAUSE[1])
    request.as_of.FromJsonString(NOW)
    now = time_text.ms(request.as_of)
    ticket = PreviewedTicket(RequestReader(Fields()).preview(request, now))
    zone = time_text.zone(ZONE)
    assert zone is not None
    marks = [mark._replace(label=f"resolution {mark.label}") for mark in marks_of(ticket, "resolution")]
    lane = DrawnLane("", ticket.timeline(now), [*marks, now_at(now)])
    return [
        Text("10 office hours to solve it, Mon-Fri 09:00-17:00 in Berlin"),
        Text(),
        *drawing.draw([lane], now, zone, BLOCKS, WIDTH),
        Text(),
        drawing.legend(BLOCKS, ahead=False),
    ]
