"""A simulated world: performs actions one by one, and holds slad to its rules after each."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from random import Random
from typing import Any, NamedTuple

from slad_client.v1 import types_pb2 as pb

from slad.core.errors import InvalidField, Refused
from slad.core.events import EventType
from slad.core.instants import MINUTE_MS
from slad.engines.commands import Answer
from tests.simulation import rules
from tests.simulation.actions import (
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
from tests.simulation.commands import told_to_slad
from tests.simulation.disk import Ground
from tests.simulation.draw import CONSUMERS, TICKETS, draw_actions, draw_knobs
from tests.simulation.faults import Faults
from tests.simulation.ledger import CHECKS, Entry, Ledger, Violation, hold
from tests.simulation.loop import MIDNIGHT, SimulatedClock, SimulatedLoop, instant
from tests.simulation.model import Ticket
from tests.simulation.obey import Tickets, obey
from tests.simulation.readers import Reader
from tests.simulation.system import EVENTS_MS, REQUESTS_MS, System, turned

PATIENCE = 20_000
"""Turns of the loop after which slad must have come to rest."""

CANNOT = {"DISK_FULL", "CANNOT_WRITE", "STOPPING"}
"""Reasons that say nothing about the command."""


class Known(NamedTuple):
    """A request id that was answered."""

    command: Command
    reply: bytes
    minute: int


class World:
    def __init__(self, knobs: Knobs, loop: SimulatedLoop, ground: Ground) -> None:
        self.knobs, self.loop, self.ground = knobs, loop, ground
        self.clock = SimulatedClock(loop)
        self.faults = Faults(ground.crash)
        self.tickets: Tickets = {place: Ticket() for place in TICKETS}
        self.ledger = Ledger()
        self.readers = {name: Reader(name) for name in CONSUMERS}
        self.requests: dict[tuple[str, str], Known] = {}
        self.counts: Counts = Counter()
        self._action: Action = Pass(0)
        self._set_back = False

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
                        if not reader.owed(self.ledger):
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
        self._action = action
        for ticket in self.tickets.values():
            for generation in ticket.generations:
                generation.former.clear()
        self.counts["actions"] += 1
        calm = not self.system.in_trouble and not self.faults.full
        fresh = await self._perform(action)
        died = self.faults.killed
        self.counts["steps in which commits failed"] += self.faults.struck
        if died:
            await self._revive(died)
        fresh += self._take()
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
        self._check()

    # --- actions

    async def _perform(self, action: Action) -> list[Entry]:
        match action:
            case Send(commands):
                await self._send(commands)
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

    async def _send(self, commands: Sequence[Command]) -> None:
        self.counts["commands"] += len(commands)
        replies: dict[int, tuple[Answer, bytes]] = {}
        calls = [self._submit(place, command, replies) for place, command in enumerate(commands)]
        heard = await self._hear(calls)
        now = self.clock.minute
        if not self.faults.full:
            self._settle_model()
        for place, command in enumerate(commands):
            outcome = heard[place]
            if isinstance(outcome, (Refused, InvalidField)):
                if outcome.reason not in CANNOT:
                    self._expect_refusal(command, outcome.reason, now)
            elif outcome is not None:
                self._expect_answer(command, outcome, replies.get(place), now)
            elif place in self.faults.durable:
                self._expect_answer(command, replies[place][1], replies[place], now)

    def _submit(
        self, place: int, command: Command, replies: dict[int, tuple[Answer, bytes]]
    ) -> Coroutine[Any, Any, bytes]:
        def render(answer: Answer) -> bytes:
            self.faults.carried_out.append(place)
            clocks = [(clock.phase, clock.elapsed_ms) for clock in answer.reading.clocks]
            reply = repr((answer.generation, answer.state, answer.changed, clocks)).encode()
            replies[place] = answer, reply
            return reply

        return self.system.engine.submit(told_to_slad(command, self.clock.minute), render)

    def _expect_refusal(self, command: Command, reason: str, now: int) -> None:
        known = self._known(command)
        if known:
            hold("M6", reason == "REQUEST_ID_REUSED", f"{command} is refused with {reason}")
            hold("M6", known.command != command, f"{command} is sent again, and refused with {reason}")
            return
        expected = obey(self.tickets, command, now)
        hold("M4", expected.refused == reason, f"{command} is refused with {reason}, not {expected}")

    def _expect_answer(
        self, command: Command, reply: bytes, rendered: tuple[Answer, bytes] | None, now: int
    ) -> None:
        known = self._known(command)
        if known:
            hold("M6", known.command == command, f"{command} reuses the request id of {known.command}")
            hold("M6", known.reply == reply, f"{command} is answered {reply!r}, first was {known.reply!r}")
            hold("M6", rendered is None, f"{command} is carried out again")
            return
        expected = obey(self.tickets, command, now)
        hold("M4", not expected.refused, f"{command} is answered, not refused with {expected.refused}")
        assert rendered is not None
        answer, model = rendered[0], self.tickets[expected.place]
        hold(
            "M7", (answer.tenant_id, answer.ticket_id) == expected.place, f"{command} is for {expected.place}"
        )
        hold("M1", answer.generation == len(model.generations), f"{command}: generation {answer.generation}")
        hold(
            rules.of_command(command),
            answer.changed == expected.changed,
            f"{command}: changed is {answer.changed}",
        )
        if answer.reading.now == instant(now) and now >= model.latest.known(now):
            rules.c2_t1_t2_status((*expected.place, answer.generation), answer, model.latest, now)
        if command.request_id:
            self.requests[command.tenant, command.request_id] = Known(command, reply, now)

    def _known(self, command: Command) -> Known | None:
        return self.requests.get((command.tenant, command.request_id)) if command.request_id else None

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
                self._settle_model()

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
            self._remembered()

    async def _read(self, reader: Reader) -> list[Entry]:
        reader.ask(self.system)
        await self._settle()
        if self.faults.killed:
            return []
        fresh = self._take()
        self.counts["pages read"] += reader.take(self.ledger, self.knobs.hub_page)
        return fresh

    async def _acknowledge(self, reader: Reader, share: float) -> None:
        last = reader.sent[-1] if reader.sent else reader.acknowledged
        if share > 1:
            sequence = self.ledger.head + 5
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
        return System(self.ground.path, self.clock, self.loop, self.knobs)

    async def _revive(self, kill: Kill) -> None:
        """What died is started again; it may be killed again by nothing but a later action."""
        self.counts["kills" if kill.chance == 1 else "power cuts"] += 1
        await self._hang_up()
        await self.system.end(orderly=False)
        self.faults.revive()
        self.ground.bury()
        self._adopt()
        self._away(kill.minutes)
        self.system = self._start()
        await self._settle()
        if self.faults.killed:
            await self._revive(self.faults.killed)
        else:
            self._remembered()

    def _adopt(self) -> None:
        """What timers did in the turn in which slad died is so, even if the clock is set back by the next start."""
        for stored in self.ground.events_after(self.ledger.head):
            entry = Entry(stored, pb.SlaEvent.FromString(stored.body))
            tenant, ticket, number = entry.whose
            if (
                entry.type is EventType.THRESHOLD_REACHED
                and self.tickets[tenant, ticket].generations[number - 1 :]
            ):
                self.tickets[tenant, ticket].generations[number - 1].announce(
                    entry.threshold, self.clock.minute
                )

    async def _hang_up(self) -> None:
        for reader in self.readers.values():
            await reader.leave()

    def _away(self, minutes: int) -> None:
        if minutes > 0:
            self.clock.go(minutes)
        elif minutes:
            self._set_clock(minutes)

    def _set_clock(self, minutes: int) -> None:
        self._set_back = self._set_back or minutes < 0
        self.clock.set(minutes)

    def _remembered(self) -> None:
        rows = {row.name: row.acknowledged for row in self.system.store.consumers()}
        for reader in self.readers.values():
            self._take()
            reader.remembered(rows.get(reader.name, 0), self.ledger)

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

    # --- checks

    def _settle_model(self) -> None:
        for ticket in self.tickets.values():
            if ticket.generations:
                ticket.latest.settle(self.clock.minute, by_time=True)
        for who, generation in rules.whose(self.tickets):
            for key, at in self.ledger.fired.get(who, {}).items():
                if key in generation.announced:
                    generation.announced[key] = generation.announced[key]._replace(at=at)

    def _take(self) -> list[Entry]:
        fresh, removed = self.ledger.take(self.system.store.events_after(0, 1_000_000))
        for entry in fresh:
            self._hear_of(entry)
        if removed:
            hold("E2", isinstance(self._action, Sweep), f"{len(removed)} events are gone")
            self._removed(removed)
        return fresh

    def _hear_of(self, entry: Entry) -> None:
        tenant, ticket, number = entry.whose
        generations = self.tickets[tenant, ticket].generations
        hold("M8", number <= len(generations), f"{entry.whose} was never started: {entry.type.name}")
        if entry.type in (EventType.STARTED, EventType.REOPENED) and generations[number - 1].inherits:
            before = self.ledger.told.get((tenant, ticket, number - 1), {})
            self.ledger.told[entry.whose] = dict(before)
        self.ledger.hear(entry)
        if entry.type is EventType.THRESHOLD_REACHED:
            rules.c4_meaning(entry, generations[number - 1])

    def _removed(self, removed: Sequence[Entry]) -> None:
        registered = {row.name for row in self.system.store.consumers()}
        for entry in removed:
            at = entry.stored.sequence
            hold("E2", at < self.ledger.head, "the newest event was removed")
            for reader in self.readers.values():
                owed = reader.name in registered and at > reader.acknowledged and reader.wants(entry.stored)
                hold("E2", not owed, f"event {at} is owed to {reader.name}, and removed")
            age = self.clock.now() - entry.event.recorded_at.ToMilliseconds()
            fair = age > EVENTS_MS or self.knobs.max_events < 100 or self._set_back
            hold("E2", fair, f"event {at} was removed at the age of {age} ms")

    def _check(self) -> None:
        now = self.clock.minute
        if not (self.faults.full or self.system.in_trouble):
            self._settle_model()
        rules.c5_told(self.tickets, self.ledger, now)
        for place, ticket in self.tickets.items():
            if ticket.generations and now >= ticket.latest.known(now):
                answer = self.system.queries.status(*place, None, self.clock.now())
                whose = (*place, answer.generation)
                hold("M8", answer.generation == len(ticket.generations), f"{whose} is the latest")
                rules.c2_t1_t2_status(whose, answer, ticket.latest, now)
        self._check_requests()

    def _check_requests(self) -> None:
        """Answers are remembered until retention may forget them (M6)."""
        for (tenant, request_id), known in list(self.requests.items()):
            stored = self.system.store.answer(tenant, request_id)
            if stored is None:
                age = (self.clock.minute - known.minute) * MINUTE_MS
                hold("M6", age > REQUESTS_MS or self._set_back, f"{known.command} is forgotten at {age} ms")
                del self.requests[tenant, request_id]
            else:
                hold(
                    "M6", stored.answer == known.reply, f"{known.command} is remembered as {stored.answer!r}"
                )


def _is_end(task: asyncio.Task[Any]) -> bool:
    """Whether a call ended because slad did."""
    error = task.exception()
    return isinstance(error, Refused) and error.reason == "STOPPING"


Counts = Counter[str]
"""What has happened in how many steps, by its name."""


def run(knobs: Knobs, actions: Sequence[Action], counts: Counts | None = None) -> None:
    """Lives through `actions`. Raises Violation, or what slad should not have raised."""
    logging.getLogger("slad").setLevel(logging.CRITICAL)
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
