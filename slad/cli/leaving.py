"""Ending a process in which Temporal's client was used."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Ends the process with `code`, without the interpreter's own end.

    The threads of Temporal's client do not stop, and one that comes back from a call while the interpreter is
    taken down aborts it. Everything of slad's is closed by then; only output is left to be written.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
