"""The engine outside: what takes the outbox to Temporal and looks after the workflows there.

The only place in the daemon that imports `temporalio`; itself imported only when Temporal is used.
"""
