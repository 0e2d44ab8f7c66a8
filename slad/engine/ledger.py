"""The ledger of one batch: what has to be recorded of the tickets that it changes (A1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache, partial
from importlib.metadata import version

from slad.core.ledger import (
    EVER,
    EntryKey,
    LedgerEntry,
    Revision,
    Verdict,
    changed_since,
    closed_entries,
    revisions,
    withdrawn_entries,
)
from slad.core.reading import Calendars, Reading
from slad.storage.ledger_store import row_of
from slad.storage.row_reader import Record
from slad.storage.rows import ROWS_ON_LOOP, Batch, LedgerRow
from slad.storage.store import Store


@cache
def time_zone_release() -> str:
    """The release of the time-zone database by which clocks count (B5)."""
    return version("tzdata")


class LedgerTurn:
    """Adds rows of the ledger to a batch. Used on the event loop only."""

    def __init__(self, store: Store, rows: Batch) -> None:
        self.attributes: Collection[str] = ()
        """Those of a ticket that its rows are to hold (A2)."""
        self._known = store.ledger().known
        self._rows = rows
        self._recorded: dict[int, dict[EntryKey, Revision]] = {}
        """The last revisions that this batch records, by tracking."""

    def note(
        self, former: Record | None, record: Record, reading: Reading, calendars: Calendars, now: int
    ) -> None:
        """Records what a change of a ticket has made of its closed cycles.

        `former` is the state before, or the generation whose cycles a new one goes on with; None: there is
        none. `reading` is of `record`. When it raises, as a stored row cannot be read, nothing is recorded.
        """
        tracking = record.tracking
        if former is None:
            if tracking.facts:  # nothing else closes a cycle, and a start has none
                # It is new, so nothing is recorded of it that would have to be looked up.
                self._add(record, revisions({}, closed_entries(tracking, reading, calendars, EVER), (), now))
            return
        if former.tracking_key != record.tracking_key:
            self._hand_over(former, record, closed_entries(tracking, reading, calendars, EVER), now)
            return
        since = changed_since(former.tracking, tracking)
        if since is None:
            return
        closed = closed_entries(tracking, reading, calendars, since)
        closed += withdrawn_entries(former.tracking, tracking, calendars, reading.now)
        facts = former.tracking.facts
        if not closed and since != EVER and (not facts or facts[-1].at < since):
            return  # nothing had closed by then
        self.take_in(record, closed, now, since, clocks={clock.name for clock in tracking.terms.clocks})

    def take_in(
        self,
        record: Record,
        closed: list[LedgerEntry],
        now: int,
        since: int = EVER,
        clocks: Collection[str] = (),
    ) -> None:
        """Records the cycles of a tracking that closed at `since` or later, as far as they differ.

        What is recorded of such a cycle that is not closed becomes VOID, if its clock is one of `clocks`.
        """
        known = self.known(record.tracking_key, since)
        self._add(record, revisions(known, closed, clocks, now))

    def known(self, tracking_key: int, since: int = EVER) -> dict[EntryKey, Revision]:
        """The last revisions of the cycles that closed at `since` or later, or are VOID."""
        found = self._known(tracking_key, since)
        for key, last in self._recorded.get(tracking_key, {}).items():
            entry = last.entry
            if entry.verdict is Verdict.VOID or (entry.closed_at or 0) >= since:
                found[key] = last
            else:
                found.pop(key, None)
        return found

    def _hand_over(self, former: Record, record: Record, closed: list[LedgerEntry], now: int) -> None:
        """The next generation goes on with the cycles of `former`, of which these have closed."""
        clocks = {clock.name for clock in record.tracking.terms.clocks}
        left = list(revisions(self.known(former.tracking_key), (), clocks, now))
        taken = list(revisions(self.known(record.tracking_key), closed, (), now))
        self._add(former, left)
        self._add(record, taken)

    def _add(self, record: Record, revised: Iterable[Revision]) -> None:
        revised = list(revised)
        if not revised:
            return
        attributes = record.tracking.attributes
        kept = {name: attributes[name] for name in self.attributes if name in attributes}
        if len(revised) <= ROWS_ON_LOOP:
            self._rows.ledger += _rows(record, revised, kept)
        else:
            self._rows.leave(self._rows.ledger, partial(_rows, record, revised, kept))
        recorded = self._recorded.setdefault(record.tracking_key, {})
        recorded.update((revision.entry.key, revision) for revision in revised)


def _rows(record: Record, revised: list[Revision], attributes: dict[str, str]) -> list[LedgerRow]:
    about = record.tracking_key, record.tenant_key, record.ticket_id, record.generation
    return [row_of(revision, *about, attributes, time_zone_release()) for revision in revised]
