"""Drift: guests that were told something and did not apply it, said so, or fell silent.

A guest that has never reported cannot drift: nobody knows whether it has the means to report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import msgspec

from mdsvc.cpuset import CpuSet
from mdsvc.instance import PlacedInstance
from mdsvc.reports import Report

GRACE_MS = 120_000
"""Milliseconds that a guest has to apply what it was told. Whoever reports after it was told, and
names the old state, has none: he says himself that he has not applied it.
"""

SILENT_MS = 30 * 60_000
"""Milliseconds after which no report is silence; mdguest reports each ten minutes."""

SKEW_MS = 10_000
"""Milliseconds that the clocks of servers may be apart. A time that is further ahead was written by
a clock that has been set back since: when that was nobody knows, so it gives no time, nor hides who
is silent. The next report mends it.
"""

Code = Literal["not_applied", "said_so", "silent"]


class Drift(msgspec.Struct, frozen=True):
    """One reason: which kind of drift, and what is the matter, in words."""

    code: Code
    message: str


class Told(NamedTuple):
    """What a guest reads as its layout now."""

    generation: int
    dedicated_cpus: CpuSet

    @classmethod
    def of(cls, guest: PlacedInstance) -> Told:
        return cls(guest.generation, guest.layout.dedicated_cpus)


def drift(told: Told, report: Report | None, now: int) -> tuple[Drift, ...]:
    """Every reason why a guest is taken to drift, at a time in milliseconds since 1970; none where
    all is well, as far as it has said.
    """
    if report is None:
        return ()
    reasons = []
    for find, code in _REASONS.items():
        message = find(told, report, now)
        if message and (code != "not_applied" or _had_time(report, now)):
            reasons.append(Drift(code, message))
    return tuple(reasons)


def _had_time(report: Report, now: int) -> bool:
    has_had = now - report.told_at
    return report.received_at >= report.told_at or not -SKEW_MS <= has_had < GRACE_MS


def due(report: Report, now: int) -> int | None:
    """When the clock alone changes the codes of a guest's drift next, in milliseconds since 1970;
    None where it does no more.
    """
    times = [report.received_at - SILENT_MS + 1, report.received_at + SILENT_MS]
    if report.told_at > report.received_at:
        times += [report.told_at - SKEW_MS, report.told_at + GRACE_MS]
    return min((at for at in times if at > now), default=None)


class GuestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest has reported last, when (seconds since 1970), and why it is taken to drift."""

    uuid: str
    reported_at: int
    generation: int | None
    state: str | None
    dedicated_cpus: CpuSet | None
    isolated_cpus: CpuSet | None
    drift: tuple[Drift, ...]


def guest_status(guest: PlacedInstance, report: Report, now: int) -> GuestStatus:
    """What operators see of a report."""
    return GuestStatus(
        uuid=guest.uuid,
        reported_at=report.received_at // 1000,
        drift=drift(Told.of(guest), report, now),
        **msgspec.structs.asdict(report.status),
    )


# ---- reasons ----


def _other_generation(told: Told, report: Report, _now: int) -> str | None:
    has = report.status.generation
    if has in (None, told.generation):
        return None
    return f"it has applied generation {has}, and is told {told.generation}"


def _other_dedicated(told: Told, report: Report, _now: int) -> str | None:
    knows = report.status.dedicated_cpus
    if knows in (None, told.dedicated_cpus):
        return None
    return f"it takes CPUs {_cpus(knows)} for dedicated, and is told {_cpus(told.dedicated_cpus)}"


def _other_isolated(told: Told, report: Report, _now: int) -> str | None:
    has = report.status.isolated_cpus
    if has in (None, told.dedicated_cpus):
        return None
    return f"it has isolated CPUs {_cpus(has)}, and is told {_cpus(told.dedicated_cpus)}"


def _bad_state(told: Told, report: Report, _now: int) -> str | None:
    """Nothing is isolated where nothing is dedicated. Any word but the good ones is none."""
    good = ("isolated",) if told.dedicated_cpus else ("isolated", "off")
    state = report.status.state
    return None if state in (None, *good) else f"it says that it is {state}"


def _silent(_told: Told, report: Report, now: int) -> str | None:
    silence = now - report.received_at
    if silence <= -SILENT_MS:
        return "it has not reported since a clock was set back"
    return f"it has not reported for {silence // 60_000} minutes" if silence >= SILENT_MS else None


def _cpus(cpus: CpuSet | None) -> str:
    return str(cpus) if cpus else "none"


_REASONS: Mapping[Callable[[Told, Report, int], str | None], Code] = {
    _other_generation: "not_applied",
    _other_dedicated: "not_applied",
    _other_isolated: "not_applied",
    _bad_state: "said_so",
    _silent: "silent",
}
