"""Who runs without Temporal pays nothing for it."""

from __future__ import annotations

import subprocess
import sys


def test_temporal_s_client_is_not_imported_before_it_is_used() -> None:
    program = (
        "import sys, slad.cli.serve, slad.cli.care, slad.cli.temporal, slad.daemon.daemon;"
        "sys.exit('temporalio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_without_it_pass_through_says_what_to_install(tmp_path) -> None:
    """As if `slad[temporal]` were not installed."""
    program = (
        "import sys; sys.modules['temporalio'] = sys.modules['temporalio.client'] = None;"
        "from slad.cli.main import main; main()"
    )
    arguments = ["serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path), "--engine", "temporal"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "slad: Temporal's client is not installed: pip install 'slad[temporal]'"
    )
