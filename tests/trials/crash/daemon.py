"""One run of `slad serve` that is to be killed."""

from __future__ import annotations

import asyncio
import signal

from tests.system.e2e.slad_process import START_TIMEOUT_S, SladProcess


class Daemon(SladProcess):
    """Its log is read by a thread, which ends when the process does."""

    async def becomes_ready(self) -> bool:
        """False: it was killed before. Raises RuntimeError when it ends in another way, or hangs."""
        await asyncio.to_thread(self._ready.wait, START_TIMEOUT_S)
        if any(entry["message"].endswith(" is ready") for entry in self.log):
            return True
        if self._reader.is_alive() or await asyncio.to_thread(self.wait) != -signal.SIGKILL:
            raise RuntimeError(f"slad did not start: {self.output}")
        return False

    async def ends_by_itself(self, timeout_s: float) -> bool:
        """Whether a kill point strikes in time."""
        await asyncio.to_thread(self._reader.join, timeout_s)
        return not self._reader.is_alive()

    async def end(self) -> None:
        """Kills it if it is not dead yet."""
        self.process.kill()
        await asyncio.to_thread(self.wait)
