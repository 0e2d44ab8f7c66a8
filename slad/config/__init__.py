"""What slad can be told.

`settings` and `sinks` say what there is, `kinds` how values are written, `tables` how an object is filled,
`reader` where each value comes from.
"""
