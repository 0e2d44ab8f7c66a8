"""The delivery floor: committed events on their way out.

`hub` hands the newest events to whoever watches, `consumers` are the durable readers that acknowledge.
"""
