"""The process `slad`, also as `python -m slad`."""

import os
import signal
import sys
from typing import NoReturn

USUAL = signal.getsignal(signal.SIGINT)
if USUAL is signal.default_int_handler:
    # Ctrl-C while everything is imported ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from slad.cli.exits import end_process  # noqa: E402 - see above
from slad.cli.main import main  # noqa: E402


def run() -> NoReturn:
    """Runs the command line of this process, and ends the process."""
    signal.signal(signal.SIGINT, USUAL)
    if sys.stdout is None:  # `slad list >&-`: nobody wants the output
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open as long as the process lives
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # What the terminal's encoding lacks is shown by its number.
        stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except SystemExit as ended:
        end_process(ended.code if isinstance(ended.code, int) else 0)
    raise AssertionError("click always exits")


if __name__ == "__main__":
    run()
