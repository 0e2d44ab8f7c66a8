"""When tokens expire (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from slad.core.access import TRUSTED
from slad.core.metrics import MS_PER_SECOND, Metric, MetricKind, Sample
from slad.service.tokens import Tokens

EXPIRES = Metric(
    "slad_token_expires_timestamp_seconds",
    MetricKind.GAUGE,
    "When a token expires that is neither revoked nor expired.",
    ("token",),
)


class TokenMetrics:
    """The tokens that expire as a `MetricSource`."""

    metrics: Final = (EXPIRES,)

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def samples(self) -> Iterable[Sample]:
        """The values now."""
        now = self._tokens.now()
        return [
            Sample(EXPIRES, row.expires_at / MS_PER_SECOND, (row.token_id,))
            for row in self._tokens.listed(TRUSTED)
            if row.expires_at is not None and row.expires_at > now and row.revoked_at is None
        ]
