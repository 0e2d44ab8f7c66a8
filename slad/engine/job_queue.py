"""Jobs that wait for the next turns: a line for each tenant and for each stream, served in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from slad.core.errors import Refusal, Refused
from slad.engine.commands import Command

if TYPE_CHECKING:
    from slad.engine.unit_of_work import UnitOfWork


TENANT_SHARE: Final = 0.75
"""The share of the waiting commands that one tenant may have; the rest is for others."""


class Job(NamedTuple):
    """Something that waits for its turn."""

    run: Callable[[UnitOfWork], Any]
    done: asyncio.Future[Any]
    cause: Any = None
    """What the observer said of it."""
    command: Command | None = None
    """What `run` carries out, if it is a single command."""
    tenant_id: str = ""
    """The tenant in whose line it waits; empty: the line of slad itself and of callers who name no tenant."""
    stream: Hashable = None
    """The stream in whose line it waits instead; None: it is of no stream."""
    commands: int = 1
    """How many commands it carries out."""

    @property
    def leaves_tenant_out(self) -> bool:
        """Whether it is a command whose tenant is to be found (M7)."""
        return self.command is not None and not self.tenant_id


class JobQueue:
    """Lines of jobs, served in turn: each line gives one job, so a busy caller delays only itself.

    While a command without a tenant waits, all single commands are taken in the order in which they came: any
    command before it may be about its ticket (M7). Only callers who may touch all tenants send such commands.

    Streams get half of what is taken (X4). If only streams wait, about half of their jobs are taken: messages
    of others can come in and go out while that half is committed.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[tuple[int, Job]]] = OrderedDict()
        self._streams: OrderedDict[Hashable, deque[tuple[int, Job]]] = OrderedDict()
        self._came = self._without_tenant = 0
        self.single = 0
        """Jobs of no stream that wait."""
        self.batched = 0
        """Commands of streams that wait."""

    def __len__(self) -> int:
        return self.single + self.batched

    def waiting_of(self, tenant_id: str) -> int:
        """How many jobs wait in one line."""
        return len(self._lines.get(tenant_id, ()))

    def require_room(self, most: int, tenant_id: str) -> None:
        """Raises Refused when `most` jobs of no stream wait already, or too many of the tenant."""
        if self.single >= most:
            message = f"{most} commands are waiting already"
            raise Refused(Refusal.UNAVAILABLE, "OVERLOADED", message)
        if tenant_id and self.waiting_of(tenant_id) >= most * TENANT_SHARE:
            message = f"too many commands of tenant {tenant_id!r} are waiting already"
            raise Refused(Refusal.UNAVAILABLE, "OVERLOADED", message)

    def put(self, job: Job) -> None:
        """Adds a job to the end of its line."""
        self._came += 1
        self._count(job, 1)
        if job.stream is not None:
            self._streams.setdefault(job.stream, deque()).append((self._came, job))
        else:
            self._lines.setdefault(job.tenant_id, deque()).append((self._came, job))

    def take(self, most: int) -> list[tuple[int, Job]]:
        """Takes out the next jobs: up to `most` commands, but at least one job.

        Each has its place in the order of arrival, for `put_back`.
        """
        taken: list[tuple[int, Job]] = []
        single = batched = 0
        room = 0 if self._lines else min(max(self.batched // 2, most // 2, 1), most)
        while single + batched < most:
            if self._streams and batched < (room or single):
                name, line = next(iter(self._streams.items()))
                commands = line[0][1].commands
                if taken and single + batched + commands > most:
                    break
                batched += commands
                item = self._pop(self._streams, name)
            elif self._lines:
                single += 1
                item = self._pop(self._lines, self._next_line())
            else:
                break
            self._count(item[1], -1)
            taken.append(item)
        return taken

    def drain(self) -> list[Job]:
        """Takes out all that waits."""
        lines = [*self._lines.values(), *self._streams.values()]
        self._lines.clear()
        self._streams.clear()
        self.single = self.batched = self._without_tenant = 0
        return [job for line in lines for _, job in line]

    def put_back(self, jobs: Sequence[tuple[int, Job]]) -> None:
        """Puts jobs that were taken but not run back at the front of their lines, in the same order."""
        for item in reversed(jobs):
            job = item[1]
            self._count(job, 1)
            lines: OrderedDict[Any, deque[tuple[int, Job]]]
            lines, name = (self._lines, job.tenant_id) if job.stream is None else (self._streams, job.stream)
            lines.setdefault(name, deque()).appendleft(item)
            lines.move_to_end(name, last=False)

    def _next_line(self) -> str:
        lines = self._lines
        return min(lines, key=lambda name: lines[name][0][0]) if self._without_tenant else next(iter(lines))

    def _count(self, job: Job, by: int) -> None:
        if job.stream is None:
            self.single += by
            self._without_tenant += by * job.leaves_tenant_out
        else:
            self.batched += by * job.commands

    @staticmethod
    def _pop(lines: OrderedDict[Any, deque[tuple[int, Job]]], name: Any) -> tuple[int, Job]:
        """Takes the first job of a line, and puts the line behind the others."""
        line = lines[name]
        item = line.popleft()
        if line:
            lines.move_to_end(name)
        else:
            del lines[name]
        return item
