"""What waits for the engine's next turns: a line for each tenant, served by turns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from slad.engine.commands import Command

if TYPE_CHECKING:
    from slad.engine.unit_of_work import UnitOfWork


class Job(NamedTuple):
    """Something that waits for its turn."""

    run: Callable[[UnitOfWork], Any]
    done: asyncio.Future[Any]
    cause: Any = None
    """What the observer said of it."""
    command: Command | None = None
    """What `run` carries out, if it is a command."""
    tenant_id: str = ""
    """In whose line it waits; empty: slad's own, and that of callers who name no tenant."""

    @property
    def leaves_tenant_out(self) -> bool:
        """Whether it is a command whose tenant is to be found (M7)."""
        return self.command is not None and not self.tenant_id


class JobQueue:
    """Who sends much waits for itself: of several lines each gives one job in turn, in its own order.

    While a command waits that leaves its tenant out, all go in the order in which they came: any of those
    before it may be about its ticket (M7). Callers who may touch some tenants only have no such commands.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[tuple[int, Job]]] = OrderedDict()
        self._size = self._came = self._without_tenant = 0

    def __len__(self) -> int:
        return self._size

    def waiting_of(self, tenant_id: str) -> int:
        """How many jobs wait in one line."""
        return len(self._lines.get(tenant_id, ()))

    def put(self, job: Job) -> None:
        """Adds a job to the end of its line."""
        self._came += 1
        self._size += 1
        self._without_tenant += job.leaves_tenant_out
        line = self._lines.get(job.tenant_id)
        if line is None:
            line = self._lines[job.tenant_id] = deque()
        line.append((self._came, job))

    def take(self, most: int) -> list[tuple[int, Job]]:
        """Takes out the next jobs; each with its place in the order in which they came, for `put_back`."""
        taken: list[tuple[int, Job]] = []
        lines = self._lines
        while lines and len(taken) < most:
            tenant_id = next(iter(lines))
            if self._without_tenant:
                tenant_id = min(lines, key=lambda name: lines[name][0][0])
            line = lines[tenant_id]
            item = line.popleft()
            taken.append(item)
            self._without_tenant -= item[1].leaves_tenant_out
            if line:
                lines.move_to_end(tenant_id)
            else:
                del lines[tenant_id]
        self._size -= len(taken)
        return taken

    def put_back(self, jobs: Sequence[tuple[int, Job]]) -> None:
        """Puts what was taken and not run in front of its lines again, to be taken in the same order."""
        for item in reversed(jobs):
            job = item[1]
            self._size += 1
            self._without_tenant += job.leaves_tenant_out
            self._lines.setdefault(job.tenant_id, deque()).appendleft(item)
            self._lines.move_to_end(job.tenant_id, last=False)
