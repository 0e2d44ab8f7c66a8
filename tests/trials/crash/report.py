"""What a trial counted, as a Markdown table."""

from __future__ import annotations

from tests.trials.crash.faults import FaultKind
from tests.trials.crash.kills import KINDS, RANDOM
from tests.trials.crash.trial import Result


def table(result: Result) -> str:
    counts, faults = result.counts, result.faults.by_kind()
    rows: list[tuple[str, str]] = [("kills", f"{result.kills.total():,}")]
    for kind in KINDS:
        name = "at a random moment" if kind == RANDOM else f"at kill point `{kind}`"
        rows.append((f"… {name}", f"{result.kills[kind]:,}"))
    rows += [
        ("restarts that became ready", f"{result.restarts:,}"),
        ("… slowest", f"{result.slowest_start_s:.2f} s"),
        ("examinations of all tickets", f"{result.exams:,}"),
        ("tickets", f"{result.tickets:,}"),
        ("commands sent", f"{counts.sent:,}"),
        ("… acknowledged", f"{counts.acknowledged:,}"),
        ("… refused, as the rules say", f"{counts.refused:,}"),
        ("… unknown: the daemon died", f"{counts.unknown:,}"),
        ("…… of these, took effect", f"{counts.took_effect:,}"),
        ("…… of these, did not", f"{counts.no_effect:,}"),
        ("… carried over a kill by a pipeline", f"{counts.carried_over:,}"),
        ("requests repeated, same answer", f"{counts.repeated:,}"),
        ("acknowledgements of consumers", f"{counts.acks:,}"),
        ("events", f"{result.events:,}"),
        ("… thresholds reached", f"{result.thresholds:,}"),
        ("… thresholds retracted", f"{result.retracted:,}"),
    ]
    rows += [(f"**{kind}**", f"**{faults[kind]:,}**") for kind in FaultKind]
    rows.append(("wall time", f"{result.wall_s / 60:.1f} min"))
    return "\n".join(["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)])
