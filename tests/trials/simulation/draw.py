"""A list of actions from a seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.trials.simulation.actions import (
    CLOCKS,
    KILL_POINTS,
    Acknowledge,
    Action,
    Command,
    DiskFull,
    Existing,
    Fact,
    FailCommits,
    Kill,
    Knobs,
    Leave,
    Pass,
    Promise,
    Read,
    Reopen,
    Restart,
    Retarget,
    Send,
    Start,
    StepClock,
    Sweep,
    What,
)

TICKETS = (("acme", "A"), ("acme", "B"), ("acme", "C"), ("birch", "A"))
CONSUMERS = ("psa", "mail")
PERCENTS = (10, 25, 50, 70, 75, 90, 110, 150)
FACTS = (
    *("pause", "pause", "resume", "resume", "respond", "resolve", "cancel"),
    *("pause for vendor", "resume from vendor", "customer", "customer", "agent", "agent"),
    *("to a", "to b", "to b", "to nobody", "complete fix", "discard next", "discard response"),
)


def draw_knobs(random: Random) -> Knobs:
    return Knobs(
        horizon_minutes=random.choice((30, 240, 1440)),
        timers_page=random.choice((1, 2, 4096)),
        max_timers=random.choice((1, 3, 256)),
        max_commands=random.choice((1, 2, 128)),
        hub_tail=random.choice((2, 8, 8192)),
        hub_page=random.choice((1, 3, 512)),
        sweep_size=random.choice((2, 7, 500)),
        max_events=random.choice((10, 10_000_000)),
    )


def draw_actions(random: Random) -> list[Action]:
    drawer = _Drawer(random)
    return [drawer.action() for _ in range(random.randint(15, 60))]


class _Drawer:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._requests: list[Command] = []
        self._trouble = random.choice((0, 1, 1, 3))
        """How much goes wrong in this world."""

    def action(self) -> Action:
        kinds: list[tuple[Callable[[], Action], int]] = [
            (self._send, 30),
            (self._pass, 25),
            (self._read, 10),
            (self._acknowledge, 8),
            (self._leave, 2),
            (Sweep, 2),
            (self._kill, 4 * self._trouble),
            (self._restart, 2 * self._trouble),
            (self._fail, 2 * self._trouble),
            (self._full, 2 * self._trouble),
            (self._step, self._trouble),
        ]
        made = self._random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
        return made()

    def _minutes(self) -> int:
        return self._random.choice((1, 5, 10, 25, 50, 100, 240, 480, 1440)) * self._random.choice((1, 1, 2))

    def _ago(self) -> int | None:
        if self._random.random() < 0.6:
            return None
        return -1 if self._random.random() < 0.03 else self._random.choice((0, self._minutes()))

    def _promise(self) -> Promise:
        random = self._random
        levels = sorted(random.sample((0, 50, 80, 100, 120), 3))
        return Promise(
            random.choice((0, 100, 200)),
            random.choice((100, 200, 500, 1000)),
            tuple(sorted(random.sample(PERCENTS, random.choice((0, 1, 1, 2, 2, 3, 3))))),
            random.choice(((0, 0, 0), (levels[0], levels[1], levels[2]))),
            random.random() < 0.5,
            tuple(random.sample(sorted(CLOCKS), random.choice((0, 0, 1, 2, 6)))),
        )

    def _send(self) -> Action:
        commands = tuple(self._command() for _ in range(self._random.choice((1, 1, 1, 2, 5))))
        return Send(commands, self._random.random() < 0.4)

    def _command(self) -> Command:
        random = self._random
        if self._requests and random.random() < 0.1:
            return random.choice(self._requests)
        tenant, ticket = random.choice(TICKETS)
        what = self._what()
        if not isinstance(what, Start) and random.random() < 0.1:
            tenant = ""
        request_id = random.choice(("", f"r{random.randint(1, 30)}"))
        command = Command(ticket, what, tenant, request_id)
        if request_id:
            self._requests.append(command)
        return command

    def _what(self) -> What:
        random = self._random
        kind = random.choices(("start", "fact", "retarget", "reopen"), (25, 55, 12, 8))[0]
        silent = random.random() < 0.15
        if kind == "start":
            ago = random.choice((None, None, self._minutes()))
            existing = random.choice(list(Existing))
            return Start(self._promise(), ago, existing, silent, random.random() < 0.2)
        if kind == "retarget":
            return Retarget(self._promise(), silent, random.choice((None, None, self._minutes())))
        if kind == "reopen":
            return Reopen(random.random() < 0.5, self._ago())
        return Fact(random.choice(FACTS), self._ago())

    def _pass(self) -> Action:
        return Pass(self._minutes(), self._random.random() < 0.3)

    def _step(self) -> Action:
        return StepClock(self._minutes() * self._random.choice((1, -1)))

    def _downtime(self) -> int:
        return self._random.choice((0, 0, self._minutes(), self._minutes(), -self._minutes()))

    def _restart(self) -> Action:
        return Restart(self._downtime())

    def _kill(self) -> Action:
        random = self._random
        return Kill(
            random.choice(KILL_POINTS),
            random.randint(1, 3),
            self._downtime(),
            random.choice((1.0, 0.0, 0.1, 0.5, 0.9)),
            random.randrange(1000),
        )

    def _fail(self) -> Action:
        return FailCommits(self._random.randint(1, 3), self._random.random() < 0.5)

    def _full(self) -> Action:
        return DiskFull(self._random.random() < 0.4)

    def _read(self) -> Action:
        return Read(self._random.choice(CONSUMERS))

    def _acknowledge(self) -> Action:
        share = self._random.choice((1.0, 1.0, 0.5, 0.0, -1.0, 2.0))
        return Acknowledge(self._random.choice(CONSUMERS), share)

    def _leave(self) -> Action:
        return Leave(self._random.choice(CONSUMERS))
