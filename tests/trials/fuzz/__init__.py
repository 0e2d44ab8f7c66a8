"""Hostile input: requests made from the descriptors of all services, and what must hold whatever is sent.

`python -m tests.trials.fuzz --requests 100000 --seed 1` is the full run; test_fuzz.py is a short one.
"""
