"""`python -m slad`."""

from slad.daemon.cli import main

main()
