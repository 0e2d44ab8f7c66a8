"""The engine: carries out commands and fires thresholds.

`engine` is the pump between callers, the timing wheel and the journal. `commands` are what it can be told,
`handlers` what each of them does, `unit_of_work` gathers what one transaction writes, `timers` keeps the near
part of the wheel in memory, `queries` answer without changing anything.
"""
