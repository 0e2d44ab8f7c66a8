"""Events where people already listen: targets outside that the daemon itself delivers to.

`sink` is what a kind of target implements, `settings` finds the kinds that the configuration names, `courier`
reads the event log for one of them as any durable consumer does, `parked` holds what a target refuses,
`sinks` are all of them together.
"""
