"""What is refused in each state of a ticket's life (M2 to M4), for the models of the trials; not slad's."""

from __future__ import annotations

_READ_BY_CLOCKS = ("customer", "agent", "to", "complete", "discard")

REFUSED: dict[str, frozenset[str]] = {
    "running": frozenset(),
    "paused": frozenset(),
    "completed": frozenset({"pause", "resume", "cancel", *_READ_BY_CLOCKS}),
    "cancelled": frozenset({"resolve", *_READ_BY_CLOCKS}),
}
"""On an ended ticket a command is refused unless it finds its own outcome. What happens to a cancelled one is
recorded: it counts when the ticket is continued."""
