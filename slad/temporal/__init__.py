"""slad over Temporal: the wire that it shares with AlgaPSA, the workflow, and the worker that runs it.

Optional (`slad[temporal]`): `temporalio` is imported only by what serves or calls a Temporal cluster.
"""
