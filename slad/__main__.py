"""`python -m slad`."""

from slad.cli.main import run

run()
