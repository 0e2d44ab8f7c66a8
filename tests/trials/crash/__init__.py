"""Crash trials: random load, SIGKILL, restart, and the clients' own journals held against what slad tells.

Nothing here imports slad itself, but for the names of its kill points: what a ticket must be is computed by
code of its own (`ticket`, `hours`) from the requests and the replies alone.
"""
