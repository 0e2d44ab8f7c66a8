"""`python -m slad`."""

from slad.cli.main import main

main()
