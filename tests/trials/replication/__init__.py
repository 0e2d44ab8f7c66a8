"""A machine is lost under load: what a copy that Litestream made knows, and who serves then.

With the real Litestream, to a directory and to an S3 server. `python -m tests.trials.replication` measures what
a take-over costs.
"""
