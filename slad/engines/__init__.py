"""The engines: who carries out commands and fires thresholds.

`protocol` says what an engine is, `local` is slad's own: a timing wheel over the journal. `commands` are
what it can be told, `handlers` what each of them does, `unit_of_work` gathers what one transaction writes,
`timers` keeps the near part of the wheel in memory, `queries` answer without changing anything.
"""
