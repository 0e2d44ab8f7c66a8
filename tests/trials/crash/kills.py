"""When and how the daemon dies: drawn from the seed before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from slad.storage.kill_points import ALL

RANDOM = "random"
KINDS = (RANDOM, *ALL)

MAX_TURNS = 80
"""A kill point strikes at one of this many turns of the daemon."""


@dataclass(frozen=True)
class Kill:
    kind: str
    turn: int
    """Of a kill point: at which of its occurrences."""
    delay_s: float
    """Of a random kill: how long after the daemon was ready."""
    while_starting: bool = False
    """`delay_s` is counted from the start of the process instead: perhaps it is not ready yet."""

    @property
    def environment(self) -> dict[str, str]:
        return {} if self.kind == RANDOM else {"SLAD_KILL_POINT": f"{self.kind}:{self.turn}"}


def draw(rng: Random, kills: int) -> list[Kill]:
    """Half of them at random moments, the rest shared by the kill points, in random order."""
    kinds = [RANDOM if n % 2 else ALL[n // 2 % len(ALL)] for n in range(kills)]
    rng.shuffle(kinds)
    return [
        Kill(
            kind,
            # Often one of the first turns, which fire what fell due meanwhile and re-send what was unknown.
            turn=min(MAX_TURNS, 1 + round(rng.expovariate(1 / 20))),
            delay_s=rng.uniform(0, 0.9),
            while_starting=rng.random() < 0.12,
        )
        for kind in kinds
    ]
