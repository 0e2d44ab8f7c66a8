"""Disk faults: a disk that fails when told, and what slad makes of it.

`faulty_vfs` is the disk, `power` what is left of one after a power cut, `workload` what slad does on it;
`sweep` lets it fail at every call in turn. `python -m tests.trials.faults --full` runs all of that.
"""
