"""Engine, journal and delivery in one process, under simulated time and a seeded list of actions.

`actions` says what can happen, `draw` makes a list of it from a seed, `world` performs it step by step on a `system`
(slad's own parts on a disk that can lose power) and on a `model` (tickets counted minute by minute), `rules` compares
the two, and `shrink` reduces a list that fails.
"""
