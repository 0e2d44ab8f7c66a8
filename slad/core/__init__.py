"""The pure floor: business time, the clock and ticket state machine, the timing wheel.

Integers and values in, values out. Nothing here does I/O, reads the wall clock, or knows gRPC or SQL,
so the same code runs in the local engine and inside a Temporal workflow.

All instants are UTC epoch milliseconds (`int`), all spans are milliseconds, unless a name says otherwise.
"""
