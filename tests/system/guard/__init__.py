"""Counted work: what a command costs in things that no machine's speed changes."""
