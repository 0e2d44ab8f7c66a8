"""Structured logs: text for people on a terminal, a JSON object a line for everyone else."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(style: str, level: str) -> None:
    """Sends all logs to standard error; `style` is text, json, or auto: text if that is a terminal."""
    handler = logging.StreamHandler()
    as_text = sys.stderr.isatty() if style == "auto" else style == "text"
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object: time (RFC 3339, UTC), level, logger, message, what `extra` gave, error."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """`HH:MM:SS.mmm LEVEL message key=value …`, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        extras = "".join(f" {name}={_shown(value)}" for name, value in _extras(record).items())
        line = f"{clock}.{int(record.msecs):03} {record.levelname:<7} {record.getMessage()}{extras}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _shown(value: object) -> str:
    """A value as one word: callers choose some of them, and must not make lines of their own."""
    text = str(value)
    return text if text.isprintable() and not re.search(r'[\s="]', text) else json.dumps(text)
