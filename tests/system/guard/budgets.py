"""What a command may cost. Who makes one of these grow says why in the commit that raises it.

Counted at StartSlaTracking with a request_id, the costliest command, of the benchmark's request; the budgets
have a few percent of slack for other releases of Python, SQLite and protobuf.
"""

from __future__ import annotations

from typing import Final

STATEMENTS_ALONE: Final = 8
"""SQL statements of a turn with one command: BEGIN, two look-ups, a row in each of four tables, COMMIT."""

STATEMENTS_OF_32: Final = 8
"""SQL statements of a turn with 32: the same, each for many rows."""

ROWS: Final = 4
"""Rows written for a command: tracking, event, audit, answer."""

SYNCS_OF_1000: Final = 45
"""Times that the disk is asked to make something durable, for 1,000 commands in turns of 32."""

BYTES_WRITTEN: Final = 11_500
"""Bytes that go to the disk for a command, the WAL and its checkpoints together, in turns of 32."""

BYTES_KEPT: Final = 1_350
"""By how much the database grows with a command, indexes and half-filled pages included. Some 45 of them are
the due dates in the event."""

FUNCTION_CALLS: Final = 350
"""Functions called for a command in a turn of 32, Python's and C's: the work of the interpreter.
Fifteen are for the checksums of four rows, eight for the due dates in the event, some five for reading
response and resolution like every clock."""

PEAK_BYTES: Final = 3_300
"""Memory that the making of a turn takes at its height, for each of its 32 commands."""

ROW_FUNCTION_CALLS: Final = 240_000
"""Functions called on the event loop for a row of an import with 950 each of what is dearest together: 30
ms or so. Most rows that are full take 10."""

STATUS_FUNCTION_CALLS: Final = 268
"""The same as FUNCTION_CALLS for a GetSlaStatus."""
