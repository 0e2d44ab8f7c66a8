"""The process `slad`, also as `python -m slad`."""

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
