"""What is wrong with the CPUs of a fleet that somebody else placed: facts in, findings out. Pure.

A rule looks at one host with the guests that run on it (``facts``), and has a code that never
changes. RULES has them all, the worst first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mdsvc.auditing.cpus import (
    dedicated_not_alone,
    dedicated_unpinned,
    isolate_has_neighbour,
    outside_sets,
    pinned_twice,
)
from mdsvc.auditing.facts import Code, Facts, Fault, Finding
from mdsvc.auditing.memory import memory_elsewhere, memory_overbooked
from mdsvc.auditing.sets import (
    isolcpus_in_shared_set,
    pmd_in_sets,
    set_cpus_missing,
    sets_overlap,
)

__all__ = ["RULES", "Facts", "Finding", "audit"]

Rule = Callable[[Facts], Iterable[Fault]]

RULES: Mapping[Code, Rule] = {
    "pinned_twice": pinned_twice,
    "dedicated_not_alone": dedicated_not_alone,
    "dedicated_unpinned": dedicated_unpinned,
    "pmd_in_sets": pmd_in_sets,
    "sets_overlap": sets_overlap,
    "outside_sets": outside_sets,
    "isolate_has_neighbour": isolate_has_neighbour,
    "memory_overbooked": memory_overbooked,
    "memory_elsewhere": memory_elsewhere,
    "isolcpus_in_shared_set": isolcpus_in_shared_set,
    "set_cpus_missing": set_cpus_missing,
}
"""By code, the worst first: what costs a guest its CPU before what costs it some of its speed, and
what is only configured so before neither."""


def audit(hosts: Iterable[Facts]) -> list[Finding]:
    """All that is wrong, the worst first; of one kind by host, then by what suffers most."""
    fleet = sorted(hosts, key=lambda facts: facts.name)
    return [
        Finding(
            code=code,
            host=facts.name,
            guests=tuple(map(facts.label, fault.guests)),
            cpus=fault.cpus,
            detail=fault.detail,
            mend=fault.mend,
        )
        for code, rule in RULES.items()
        for facts in fleet
        for fault in sorted(rule(facts), key=lambda fault: -len(fault.cpus))
    ]
