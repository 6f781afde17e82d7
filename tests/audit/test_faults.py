"""Each fault that is planted is found, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mdsvc.auditing import RULES, Facts, audit
from mdsvc.cpuset import CpuSet
from mdsvc.running import RunningGuest
from mdsvc.topology import Host, PagePool
from tests.audit.fleets import cpus, domain, facts_of, random_fleet, with_domains
from tests.strategies import QUICK, grid, host_of

HOST: Host = host_of(grid(2, 4, threads=2, shared=1))
"""Shared: 0-1 and 8-9; dedicated: 2-7 and 10-15; siblings are 2-3, 4-5 and so on."""

DEDICATED = {"hw:cpu_policy": "dedicated"}
ISOLATE = {**DEDICATED, "hw:cpu_thread_policy": "isolate", "hw:emulator_threads_policy": "share"}


@dataclass(frozen=True)
class Planted:
    """Domains on HOST, and what is to be found: a code, the guests that it names, the pCPUs."""

    code: str
    guests: Sequence[str]
    on: str
    domains: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)


def with_huge_pages(host: Host) -> Host:
    """One GiB of them a node."""
    pages = (PagePool(size_kb=4, total=2**20), PagePool(size_kb=2048, total=512))
    cells = tuple(replace(cell, pages=pages) for cell in host.cells)
    return replace(host, cells=cells, cpu_shared_set=CpuSet(), cpu_dedicated_set=CpuSet())


PLANTED = {
    "one pCPU for two guests": Planted(
        "pinned_twice", ["a", "b"], "3", [domain("a", "2", "3"), domain("b", "3", "4")]
    ),
    "one pCPU for two vCPUs of a guest": Planted(
        "pinned_twice", ["a"], "3", [domain("a", "3", "3")]
    ),
    "one pCPU for a vCPU and another guest's isolated emulator": Planted(
        "pinned_twice", ["a", "b"], "3", [domain("a", "3"), domain("b", "4", emulator="3")]
    ),
    "one pCPU that no set has for two guests": Planted(
        "pinned_twice",
        ["a", "b"],
        "5",
        [domain("a", "5"), domain("b", "5")],
        {"shared": None, "dedicated": None},
    ),
    "a shared vCPU on a dedicated pCPU": Planted(
        "dedicated_not_alone", ["a", "b"], "3", [domain("a", "3"), domain("b", "0-3", "0-1")]
    ),
    "emulator threads on a dedicated pCPU": Planted(
        "dedicated_not_alone",
        ["a", "b"],
        "3",
        [domain("a", "3"), domain("b", "0-1", emulator="0-3")],
    ),
    "I/O threads on a dedicated pCPU": Planted(
        "dedicated_not_alone",
        ["a", "b"],
        "3",
        [domain("a", "3"), domain("b", "0-1", iothread="3-4")],
    ),
    "a guest that nothing pins": Planted(
        "dedicated_not_alone",
        ["a", "b"],
        "2-3",
        [domain("a", "2", "3"), domain("b", "", "", emulator=None)],
    ),
    "a guest that is to float where another one is dedicated": Planted(
        "dedicated_not_alone",
        ["a", "b"],
        "3",
        [domain("a", "3"), domain("b", "", emulator=None, cpuset="0-5,^4")],
    ),
    "a dedicated guest without pins": Planted(
        "dedicated_unpinned", ["a"], "0-1", [domain("a", "0-1", "0-1", specs=DEDICATED)]
    ),
    "a dedicated guest with some pins": Planted(
        "dedicated_unpinned", ["a"], "0-1", [domain("a", "2", "0-1", specs=DEDICATED)]
    ),
    "a PMD thread on a dedicated pCPU": Planted(
        "pmd_in_sets", ["a"], "4", [domain("a", "4")], {"pmd": cpus("4")}
    ),
    "a PMD thread on a shared pCPU": Planted("pmd_in_sets", [], "1", [], {"pmd": cpus("1")}),
    "sets that overlap": Planted("sets_overlap", [], "2-3", [], {"shared": cpus("0-3,8-9")}),
    "a pin outside the dedicated set": Planted(
        "outside_sets", ["a"], "8", [domain("a", "8", specs=DEDICATED, memory_node=1)]
    ),
    "a pin to a pCPU that is not there": Planted(
        "outside_sets", ["a"], "99", [domain("a", "99", specs=DEDICATED)]
    ),
    "a shared vCPU on free dedicated pCPUs": Planted(
        "outside_sets", ["a"], "4-7", [domain("a", "4-7")]
    ),
    "emulator threads on free dedicated pCPUs": Planted(
        "outside_sets", ["a"], "5-6", [domain("a", "4", emulator="4-6")]
    ),
    "a neighbour on a sibling": Planted(
        "isolate_has_neighbour",
        ["a", "b"],
        "3",
        [domain("a", "2", specs=ISOLATE), domain("b", "3")],
    ),
    "siblings of one guest that is to have whole cores": Planted(
        "isolate_has_neighbour", ["a"], "2-3", [domain("a", "2", "3", specs=ISOLATE)]
    ),
    "more memory than a node has": Planted(
        "memory_overbooked",
        ["a", "b"],
        "",
        [
            domain("a", "2", memory_mb=10000, memory_node=0),
            domain("b", "3", memory_mb=10000, memory_node=0),
        ],
    ),
    "more memory than all nodes have": Planted(
        "memory_overbooked", ["a"], "", [domain("a", "2", memory_mb=40000)]
    ),
    "more huge pages than all nodes have": Planted(
        "memory_overbooked",
        ["a", "b"],
        "",
        [domain(name, at, memory_mb=1536, pages_kb=2048) for name, at in (("a", "2"), ("b", "3"))],
        {"topology": with_huge_pages(HOST)},
    ),
    "memory on another node": Planted(
        "memory_elsewhere", ["a"], "2-3", [domain("a", "2", "3", memory_node=1)]
    ),
    "isolcpus among the shared": Planted(
        "isolcpus_in_shared_set", ["a"], "1", [domain("a", "0-1")], {"isolated": cpus("1-7")}
    ),
    "sets with pCPUs that are not there": Planted(
        "set_cpus_missing", [], "16", [], {"dedicated": cpus("2-7,10-16")}
    ),
}


def found(planted: Planted) -> Sequence[Any]:
    return audit([replace(with_domains(HOST, planted.domains), **planted.facts)])


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_found_by_its_name(planted: Planted) -> None:
    of_code = [each for each in found(planted) if each.code == planted.code]
    assert [(list(f.guests), str(f.cpus)) for f in of_code] == [(planted.guests, planted.on)]
    assert of_code[0].host == "h1"
    for guest in planted.guests:
        assert guest in of_code[0].detail or planted.code in (
            "pmd_in_sets",
            "isolcpus_in_shared_set",
        )


ALSO = {
    "a guest that nothing pins": {"outside_sets"},
    "a shared vCPU on a dedicated pCPU": {"outside_sets"},
    "emulator threads on a dedicated pCPU": {"outside_sets"},
    "I/O threads on a dedicated pCPU": {"outside_sets"},
    "a guest that is to float where another one is dedicated": {"outside_sets"},
}
"""Faults that are two at once."""


@pytest.mark.parametrize("name", PLANTED)
def test_nothing_else_is_found(name: str) -> None:
    codes = {each.code for each in found(PLANTED[name])}
    assert codes == {PLANTED[name].code} | ALSO.get(name, set())


def test_every_rule_has_a_fault_here() -> None:
    assert {planted.code for planted in PLANTED.values()} == set(RULES)


def test_findings_come_worst_first() -> None:
    facts = [
        replace(with_domains(HOST, planted.domains), **planted.facts, name=f"h{number}")
        for number, planted in enumerate(PLANTED.values())
    ]
    codes = [each.code for each in audit(facts)]
    assert codes == sorted(codes, key=list(RULES).index)


# ---- in fleets that were well placed ----


def _single(facts: Facts) -> list[RunningGuest]:
    return [guest for guest in facts.guests if facts.own(guest)]


def _crowded(seed: int) -> Facts:
    """The next fleet in which two guests have pCPUs of their own."""
    while len(_single(facts := facts_of(*random_fleet(seed)))) < 2:
        seed += 1
    return facts


@QUICK
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_pin_moved_to_another_guest_s_pcpu_is_found(seed: int, data: st.DataObject) -> None:
    facts = _crowded(seed)
    dedicated = _single(facts)
    victim, mover = data.draw(st.permutations(dedicated))[:2]
    pcpu = data.draw(st.sampled_from(list(facts.own(victim))))
    vcpu = data.draw(st.sampled_from(list(mover.pinned(facts.shared, facts.dedicated))))
    moved = replace(mover, pins={**mover.pins, vcpu: CpuSet.of([pcpu])})
    guests = tuple(moved if guest is mover else guest for guest in facts.guests)
    first = audit([replace(facts, guests=guests)])[0]
    assert first.code == "pinned_twice"
    assert pcpu in first.cpus
    assert {facts.label(victim), facts.label(mover)} <= set(first.guests)


@QUICK
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_guest_that_loses_its_pins_is_found_by_each_that_suffers(
    seed: int, data: st.DataObject
) -> None:
    facts = _crowded(seed)
    dedicated = _single(facts)
    loose = data.draw(st.sampled_from(dedicated))
    freed = replace(loose, pins={}, emulator=None, iothreads=())
    guests = tuple(freed if guest is loose else guest for guest in facts.guests)
    suffer = {
        f.guests[0]
        for f in audit([replace(facts, guests=guests)])
        if f.code == "dedicated_not_alone"
    }
    assert suffer == {facts.label(guest) for guest in dedicated if guest is not loose}


def test_two_guests_of_one_name_are_told_apart() -> None:
    guest = random_guest()
    facts = with_domains(HOST, [domain("a", "2"), domain("a", "2")])
    twin = replace(facts.guests[1], uuid=guest)
    (finding,) = audit([replace(facts, guests=(facts.guests[0], twin))])
    assert len(set(finding.guests)) == 2
    assert any(guest in name for name in finding.guests)


def random_guest() -> str:
    return "00000000-0000-4000-8000-000000000001"


def test_what_is_not_plugged_in_runs_nowhere() -> None:
    """As programs leave it that plug vCPUs in later, and pin them then."""
    xml = domain("a", "2", emulator="0-1").replace("'static'>1<", "'static' current='1'>4<")
    (guest,) = with_domains(HOST, [xml]).guests
    assert (guest.vcpus, str(guest.unplugged)) == (4, "1-3")
    assert audit([with_domains(HOST, [xml, domain("b", "3")])]) == []


def test_threads_that_float_over_a_set_with_an_offline_cpu_are_no_fault_of_each_guest() -> None:
    """But a vCPU that is pinned to it is."""
    on = {"shared": cpus("0-1,8-9,16"), "dedicated": cpus("2-7,10-15,17")}
    floats = domain("a", "0-1,16", emulator="0-1,16")
    for domains, codes in (
        ([floats], ["set_cpus_missing"] * 2),
        ([floats, domain("b", "17")], ["outside_sets", *["set_cpus_missing"] * 2]),
    ):
        found = audit([replace(with_domains(HOST, domains), **on)])
        assert [each.code for each in found] == codes


def test_a_host_with_one_set_for_both_is_no_overlap_by_itself() -> None:
    facts = with_domains(HOST, [domain("a", "2", "3", emulator="2-3")])
    legacy = replace(facts, shared=cpus("2-7"), dedicated=cpus("2-7"), one_set=True)
    assert audit([legacy]) == []
    both = replace(legacy, guests=with_domains(HOST, [domain("a", "2"), domain("b", "2-7")]).guests)
    assert audit([both])[0].code == "dedicated_not_alone"
