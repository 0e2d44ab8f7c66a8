"""A short crash trial, and one against a daemon that forgets, which must not pass."""

from __future__ import annotations

import shutil
from pathlib import Path

from slad.storage.kill_points import ALL
from tests.trials.crash.daemon import Daemon
from tests.trials.crash.faults import FaultKind
from tests.trials.crash.kills import RANDOM
from tests.trials.crash.report import table
from tests.trials.crash.trial import Trial

KILLS = 16


async def test_nothing_is_lost_missing_or_doubled(tmp_path: Path) -> None:
    trial = Trial(tmp_path, kills=KILLS, seed=7, clients=3, exam_every=8)
    result = await trial.run()
    assert not result.faults, "\n".join(map(str, result.faults))
    assert result.kills == {RANDOM: KILLS // 2} | dict.fromkeys(ALL, KILLS // 2 // len(ALL))
    assert result.exams >= 2
    counts = result.counts
    assert counts.sent == counts.acknowledged + counts.refused + counts.unknown
    assert counts.unknown == counts.took_effect + counts.no_effect > 0
    assert counts.carried_over > 0, "nothing was on its way through a pipeline at any kill"
    assert min(counts.acknowledged, counts.repeated, counts.acks, result.thresholds) > 50
    assert f"| kills | {KILLS} |" in table(result)


class Forgetful(Trial):
    """Between two runs the database is put back to what it was three kills before."""

    async def _reap(self, slad: Daemon) -> None:
        await super()._reap(slad)
        kills, data, copy = self.result.kills.total(), self._directory / "data", self._directory / "old"
        if kills == 3:
            shutil.copytree(data, copy, ignore=shutil.ignore_patterns("*.sock"))
        elif kills == 6 and copy.exists():
            shutil.rmtree(data)
            copy.rename(data)


async def test_a_daemon_that_forgets_is_found_out(tmp_path: Path) -> None:
    result = await Forgetful(tmp_path, kills=8, seed=7, clients=2).run()
    found = result.faults.by_kind()
    assert found[FaultKind.LOST] > 0, result.faults
