"""A simulated world: performs actions one by one, and holds slad to its rules after each."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from random import Random
from typing import Any

from slad.core.errors import InvalidField, Refused
from slad.core.events import EventType
from slad.core.instants import MINUTE_MS
from slad.engine.commands import Answer, Render
from tests.trials.simulation import rules
from tests.trials.simulation.actions import (
    Acknowledge,
    Action,
    Command,
    DiskFull,
    FailCommits,
    Kill,
    Knobs,
    Leave,
    Pass,
    Read,
    Restart,
    Send,
    StepClock,
    Sweep,
)
from tests.trials.simulation.commands import told_to_slad
from tests.trials.simulation.disk import Ground
from tests.trials.simulation.draw import CONSUMERS, draw_actions, draw_knobs
from tests.trials.simulation.faults import Faults
from tests.trials.simulation.judge import Judge
from tests.trials.simulation.ledger import CHECKS, Entry, Violation, hold
from tests.trials.simulation.loop import MIDNIGHT, SimulatedClock, SimulatedLoop
from tests.trials.simulation.readers import Reader
from tests.trials.simulation.system import System, turned

PATIENCE = 20_000
"""Turns of the loop after which slad must have come to rest."""

CANNOT = {"DISK_FULL", "CANNOT_WRITE", "STOPPING"}
"""Reasons that say nothing about the command."""


class World:
    def __init__(self, knobs: Knobs, loop: SimulatedLoop, ground: Ground) -> None:
        self.knobs, self.loop, self.ground = knobs, loop, ground
        self.clock = SimulatedClock(loop)
        self.faults = Faults(ground.crash)
        self.readers = {name: Reader(name) for name in CONSUMERS}
        self.judge = Judge(knobs, self.clock, self.faults, self.readers)
        self.counts: Counts = Counter()

    async def live(self, actions: Iterable[Action]) -> None:
        """Performs everything, then repairs the disk, lets every consumer catch up, and stops in order."""
        with turned(self.knobs, self.faults):
            self.system = self._start()
            try:
                for action in actions:
                    await self.step(action)
                await self.step(DiskFull(False))
                for reader in self.readers.values():
                    while True:
                        await self.step(Read(reader.name))
                        if not reader.owed(self.judge.ledger):
                            break
                await self.step(Restart())
            finally:
                await self._hang_up()
                await self.system.end(orderly=False)

    async def step(self, action: Action) -> None:
        """Performs one action, and checks the rules."""
        self.faults.struck = False
        self.faults.durable.clear()
        self.faults.carried_out.clear()
        self.judge.action = action
        for ticket in self.judge.tickets.values():
            for generation in ticket.generations:
                generation.former.clear()
        self.counts["actions"] += 1
        calm = not self.system.in_trouble and not self.faults.full
        fresh = await self._perform(action)
        died = self.faults.killed
        self.counts["steps in which commits failed"] += self.faults.struck
        if died:
            await self._revive(died)
        fresh += self.judge.take()
        reached = [entry for entry in fresh if entry.type is EventType.THRESHOLD_REACHED]
        self.counts["events"] += len(fresh)
        self.counts["thresholds reached"] += len(reached)
        rules.c5_never_early(reached)
        if not isinstance(action, Send):
            rules.c5_in_order(reached)
            if not died:
                rules.c5_superseded(reached)
        if isinstance(action, Pass) and not action.asleep and calm and not (died or self.faults.struck):
            rules.c3_on_time(reached)
        self.judge.check()

    # --- actions

    async def _perform(self, action: Action) -> list[Entry]:
        match action:
            case Send(commands, by_stream):
                await self._send(commands, by_stream=by_stream)
            case Pass():
                await self._pass(action)
            case StepClock(minutes):
                self.counts["steps of the clock"] += 1
                self._set_clock(minutes)
                await self._settle()
            case Restart(minutes):
                self.counts["restarts"] += 1
                await self._restart(minutes)
            case Kill():
                self.faults.arm(action)
            case FailCommits(commits, full):
                self.faults.fail(commits, full=full)
            case DiskFull(full):
                self.faults.full = full
                await self._settle()
            case Read(name):
                return await self._read(self.readers[name])
            case Acknowledge(name, share):
                await self._acknowledge(self.readers[name], share)
            case Leave(name):
                await self.readers[name].leave()
            case Sweep():
                await self._sweep()
        return []

    async def _send(self, commands: Sequence[Command], *, by_stream: bool) -> None:
        self.counts["commands"] += len(commands)
        replies: dict[int, tuple[Answer, bytes]] = {}
        now = self.clock.minute
        told = [
            (told_to_slad(command, now), self._render(place, replies))
            for place, command in enumerate(commands)
        ]
        if by_stream:
            self.counts["messages of streams"] += 1
            results = self.system.engine.put(self, told)
            calls = [_result(results, place) for place in range(len(told))]
        else:
            calls = [self.system.engine.submit(*command) for command in told]
        heard = await self._hear(calls)
        if not self.faults.full:
            self.judge.settle_model()
        for place, command in enumerate(commands):
            outcome = heard[place]
            if isinstance(outcome, (Refused, InvalidField)):
                if outcome.reason not in CANNOT:
                    self.judge.expect_refusal(command, outcome.reason, now)
            elif outcome is not None:
                self.judge.expect_answer(command, outcome, replies.get(place), now)
            elif place in self.faults.durable:
                self.judge.expect_answer(command, replies[place][1], replies[place], now)

    def _render(self, place: int, replies: dict[int, tuple[Answer, bytes]]) -> Render:
        def render(answer: Answer) -> bytes:
            self.faults.carried_out.append(place)
            clocks = [(clock.key, clock.elapsed_ms) for clock in answer.reading.clocks]
            reply = repr((answer.ticket.generation, answer.state, answer.changed, clocks)).encode()
            replies[place] = answer, reply
            return reply

        return render

    async def _pass(self, action: Pass) -> None:
        until = self.clock.minute + action.minutes
        while self.clock.minute < until and not self.faults.killed:
            step = until - self.clock.minute
            if not action.asleep and not self.faults.full:
                to_wake = -((MIDNIGHT - self.system.next_wake) // MINUTE_MS) - self.clock.minute
                step = max(1, min(step, to_wake))
            self.clock.go(step)
            await self._settle()
            if not (self.faults.killed or self.faults.full or self.system.in_trouble):
                self.judge.settle_model()

    async def _restart(self, minutes: int) -> None:
        await self._settle()
        if self.faults.killed:
            return
        await self._hang_up()
        await self.system.end(orderly=True)
        if self.faults.killed:
            return
        self._away(minutes)
        self.system = self._start()
        await self._settle()
        if not self.faults.killed:
            self.judge.remembered()

    async def _read(self, reader: Reader) -> list[Entry]:
        reader.ask(self.system)
        await self._settle()
        if self.faults.killed:
            return []
        fresh = self.judge.take()
        self.counts["pages read"] += reader.take(self.judge.ledger, self.knobs.hub_page)
        return fresh

    async def _acknowledge(self, reader: Reader, share: float) -> None:
        last = reader.sent[-1] if reader.sent else reader.acknowledged
        if share > 1:
            sequence = self.judge.ledger.head + 5
        elif share < 0:
            sequence = reader.acknowledged - 1
        else:
            sent = [reader.acknowledged, *(at for at in reader.sent if at > reader.acknowledged)]
            sequence = last if share == 1 else sent[int(share * (len(sent) - 1))]
        self.counts["acknowledgements"] += 1
        (outcome,) = await self._hear([self._confirm(reader, sequence)])
        if outcome is None:
            reader.attempted = max(sequence, reader.acknowledged)
        elif not isinstance(outcome, Exception):
            hold("E2", share <= 1, f"{reader.name} acknowledges {sequence}, which was never sent")
            reader.acknowledged = max(reader.acknowledged, sequence)
        else:
            reason = getattr(outcome, "reason", repr(outcome))
            fair = {*CANNOT, "CONSUMER_NOT_FOUND"}
            fair |= {"ACK_BEYOND_SENT"} if share > 1 else set()
            fair |= {"ACK_BEHIND"} if share <= 0 else set()
            hold("E2", reason in fair, f"{reader.name} is refused to acknowledge {sequence}: {reason}")

    async def _confirm(self, reader: Reader, sequence: int) -> bytes:
        await self.system.consumers.acknowledge(reader.name, sequence)
        return b""

    async def _sweep(self) -> None:
        async def sweep() -> bytes:
            return b"%d" % await self.system.retention.sweep()

        await self._hear([sweep()])

    # --- slad's lives

    def _start(self) -> System:
        self.judge.system = System(self.ground.path, self.clock, self.loop, self.knobs)
        return self.judge.system

    async def _revive(self, kill: Kill) -> None:
        """What died is started again; it may be killed again by nothing but a later action."""
        self.counts["kills" if kill.chance == 1 else "power cuts"] += 1
        await self._hang_up()
        await self.system.end(orderly=False)
        self.faults.revive()
        self.ground.bury()
        self.judge.adopt(self.ground.events_after(self.judge.ledger.head))
        self._away(kill.minutes)
        self.system = self._start()
        await self._settle()
        if self.faults.killed:
            await self._revive(self.faults.killed)
        else:
            self.judge.remembered()

    async def _hang_up(self) -> None:
        for reader in self.readers.values():
            await reader.leave()

    def _away(self, minutes: int) -> None:
        if minutes > 0:
            self.clock.go(minutes)
        elif minutes:
            self._set_clock(minutes)

    def _set_clock(self, minutes: int) -> None:
        self.judge.set_back = self.judge.set_back or minutes < 0
        self.clock.set(minutes)

    # --- waiting

    async def _hear(self, calls: Sequence[Coroutine[Any, Any, bytes]]) -> list[bytes | Exception | None]:
        """The answers to calls that are made together; None: slad died before it was heard."""
        tasks = [asyncio.create_task(call) for call in calls]
        await self._settle()
        heard: list[bytes | Exception | None] = []
        for task in tasks:
            if not task.done() or (self.faults.killed and _is_end(task)):
                heard.append(None)
                task.cancel()
            else:
                error = task.exception()
                if error is not None and not isinstance(error, (Refused, InvalidField)):
                    raise error
                heard.append(error if isinstance(error, Exception) else task.result())
        if not self.faults.killed:
            hold("M8", None not in heard, "a call is not answered")
        return heard

    async def _settle(self) -> None:
        """Lets slad go on until it has nothing to do, or dies."""
        calm = 0
        for _ in range(PATIENCE):
            await asyncio.sleep(0)
            if self.faults.killed:
                return
            if self.system.pump.done():
                error = self.system.pump.exception()
                raise Violation("pump", f"the engine has ended: {error!r}")
            calm = calm + 1 if self.loop.idle else 0
            waits = self.system.engine.waiting or (self.system.in_trouble and not self.faults.full)
            if calm > 2:
                if not waits:
                    return
                self.loop.simulated += 0.5  # until it tries again
                calm = 0
        raise Violation("pump", "slad does not come to rest")


async def _result(results: asyncio.Future[list[bytes | Exception]], place: int) -> bytes:
    """What came of one command of a message."""
    result = (await asyncio.shield(results))[place]
    if isinstance(result, Exception):
        raise result
    return result


def _is_end(task: asyncio.Task[Any]) -> bool:
    """Whether a call ended because slad did."""
    error = task.exception()
    return isinstance(error, Refused) and error.reason == "STOPPING"


Counts = Counter[str]
"""What has happened in how many steps, by its name."""


def run(knobs: Knobs, actions: Sequence[Action], counts: Counts | None = None) -> None:
    """Lives through `actions`. Raises Violation, or what slad should not have raised."""
    log = logging.getLogger("slad")
    level = log.level
    log.setLevel(logging.CRITICAL)
    loop = SimulatedLoop()
    CHECKS.clear()
    try:
        with Ground() as ground:
            world = World(knobs, loop, ground)
            try:
                loop.run_until_complete(world.live(actions))
            finally:
                if counts is not None:
                    counts.update(world.counts)
                    counts.update({f"rule {rule}": number for rule, number in CHECKS.items()})
    finally:
        loop.close()
        log.setLevel(level)


def failure(knobs: Knobs, actions: Sequence[Action], counts: Counts | None = None) -> Exception | None:
    """What is raised by a life through `actions`, if anything is."""
    try:
        run(knobs, actions, counts)
    except Exception as error:
        return error
    return None


def drawn(seed: int) -> tuple[Knobs, list[Action]]:
    """What happens in the world of a seed."""
    random = Random(seed)
    return draw_knobs(random), draw_actions(random)
