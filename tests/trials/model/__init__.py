"""A bounded model check of the ticket machine: every order of arrival, not a sample of them.

`worlds` says which facts may happen, `naive` counts what must be, `explore` walks every state that can be reached.
"""
