"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from typing import Final, NamedTuple

_MOST_DOUBLINGS: Final = 64
"""After which any pause is the longest one; a float cannot hold a thousand of them."""


class Backoff(NamedTuple):
    """Pauses in seconds: the first, doubled with each further failure in a row up to the longest."""

    first_s: float
    longest_s: float

    def pause_s(self, failures: int) -> float:
        """The pause after so many failures in a row, counted from 1."""
        return min(self.first_s * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), self.longest_s)


def jittered(pause_s: float, draw: float) -> float:
    """A pause from the upper half of `pause_s`, so that those who failed together do not come together.

    `draw` is from 0 to 1, which is all of it.
    """
    return pause_s * (0.5 + draw / 2)
