"""A connection that reads, as all the stores use it."""

from __future__ import annotations

from typing import Any

import apsw


class ReadingConnection:
    """Used by one thread at a time. Raises apsw.Error when the file cannot be read."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.execute
        self._connection = connection

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _rows(self, query: str, *bindings: int | str | None) -> list[Any]:
        return self._execute(query, bindings).fetchall()

    def _row(self, query: str, *bindings: int | str | None) -> Any:
        """The first row; None: there is none."""
        return self._execute(query, bindings).fetchone()

    def _value(self, query: str, *bindings: int | str | bytes) -> Any:
        """The first column of the first row; None also when there is none."""
        row = self._execute(query, bindings).fetchone()
        return row[0] if row else None

    def _number(self, query: str, *bindings: int | str | bytes) -> int | None:
        """The same, of a query for a number."""
        number: int | None = self._value(query, *bindings)
        return number
