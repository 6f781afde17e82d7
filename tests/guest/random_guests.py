"""Any guest: its CPUs, how it was booted, who lives there, and what is to be isolated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from mdguest.cpuset import CpuSet, union

from tests.guest.fake import FakeGuest, guest

KERNELS = ("5.15", "6.1", "6.12", "7.2")


@dataclass
class Case:
    """A recipe: making the guest twice gives two that are the same."""

    kernel: str
    dedicated: str
    settings: dict[str, Any]
    options: dict[str, Any]
    claims: list[str]
    affinities: list[str]
    pods: bool = False
    then: str = ""
    """Another set for later."""

    def make(self) -> FakeGuest:
        made = guest(self.kernel, **self.options)
        if made.systemd is None:
            return made
        for number, cpus in enumerate(self.claims):
            made.systemd.add(f"custom{number}.slice")
            made.spawn(f"claimant{number}", f"/custom{number}.slice")
            made.set_property(f"custom{number}.slice", f"AllowedCPUs={cpus}")
        if self.pods:
            made.systemd.add("kubepods.slice")
        for number, cpus in enumerate(self.affinities):
            group = ("/system.slice/cron.service", "/user.slice/user@0.service")[number % 2]
            made.spawn(f"pinned {number}) (", group, CpuSet.parse(cpus))
        return made


def some(draw: st.DrawFn, cpus: CpuSet, least: int = 1, most: int | None = None) -> CpuSet:
    """A part of a set."""
    listed = list(cpus)
    most = len(listed) if most is None else most
    return CpuSet.of(draw(st.sets(st.sampled_from(listed), min_size=least, max_size=most)))


def split(draw: st.DrawFn, cpus: CpuSet) -> tuple[str, ...]:
    """One or two NUMA nodes."""
    cut = draw(st.integers(0, len(cpus) - 1))
    parts = CpuSet.of(list(cpus)[:cut]), CpuSet.of(list(cpus)[cut:])
    return tuple(str(part) for part in parts if part)


@st.composite
def cases(draw: st.DrawFn, kernels: tuple[str, ...] = KERNELS) -> Case:
    count = draw(st.one_of(st.integers(1, 8), st.integers(1, 64)))
    present = CpuSet.first(count)
    possible = CpuSet.first(count + draw(st.sampled_from((0, 0, 4))))
    online = some(draw, present) if draw(st.booleans()) else present
    boot = CpuSet.of(list(online)[1:])
    width = draw(st.sampled_from((1, 2)))
    raw = draw(st.integers(0, 5)) == 0
    claims = [some(draw, online) for _ in range(draw(st.integers(0, 2)))]
    pinned = [some(draw, online) for _ in range(draw(st.integers(0, 3)))]
    dedicated = some(draw, possible)
    settings = draw(_settings(raw, present))
    return Case(
        kernel=draw(st.sampled_from(kernels)),
        dedicated=str(dedicated),
        then=str(some(draw, possible)),
        settings={**settings, "exempt": _exempt(draw, dedicated, settings["housekeeping"])},
        options={
            "cpus": str(present),
            "possible": str(possible),
            "online": str(online),
            "isolcpus": str(some(draw, boot, 0, 3)) if boot and draw(st.booleans()) else "",
            "nohz_full": str(some(draw, boot, 0, 3)) if boot and draw(st.booleans()) else "",
            "numa": split(draw, present),
            "cores": tuple(str(core) for core in _cores(present, width)),
            "irqbalance": draw(st.booleans()),
            **({"systemd": None} if raw else {}),
        },
        claims=[str(cpus) for cpus in claims],
        affinities=[str(cpus) for cpus in pinned],
        pods=draw(st.integers(0, 4)) == 0,
    )


def _exempt(draw: st.DrawFn, dedicated: CpuSet, housekeeping: str) -> str:
    """No slice, or one or two: of cgroups that are there, or that nobody has heard of."""
    free = dedicated - CpuSet.parse(housekeeping if housekeeping.isdecimal() else "")
    texts = []
    for name in ("ovs.slice", "custom0.slice")[: draw(st.sampled_from((0, 0, 1, 2)))]:
        if free:
            own = some(draw, free, 1, 3)
            free = free - own
            texts.append(f"{name}={own}")
    return " ".join(texts)


def _cores(cpus: CpuSet, width: int) -> list[CpuSet]:
    listed = list(cpus)
    cores = [CpuSet.of(listed[at : at + width]) for at in range(0, len(listed), width)]
    assert union(cores) == cpus
    return cores


@st.composite
def _settings(draw: st.DrawFn, raw: bool, present: CpuSet) -> dict[str, Any]:
    policies = ("first", "last", str(CpuSet.of([draw(st.sampled_from(list(present)))])))
    return {
        "mode": None if raw else draw(st.sampled_from((None, "partition", "fence"))),
        "partition": draw(st.sampled_from(("isolated", "isolated", "root"))),
        "housekeeping": draw(st.sampled_from(policies)),
    }
