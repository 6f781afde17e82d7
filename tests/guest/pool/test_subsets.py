"""Which CPUs of the pool a program gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import BadInput, NotFound, Refused, Trouble
from mdguest.facts import CGROUP, Facts, Group
from mdguest.pool.run import filled
from mdguest.pool.subsets import Wanted, checked_name, choose, subsets, usual_name

POOL = f"{CGROUP}/dedicated.slice"


def cpus(text: str) -> CpuSet:
    return CpuSet.parse(text)


def held(name: str, text: str, *, populated: bool = True) -> Group:
    path = f"{POOL}/mdguest-{name}.scope"
    return Group(path, asked=cpus(text), cpus=cpus(text), populated=populated)


FACTS = Facts(
    online=cpus("0-11"),
    present=cpus("0-11"),
    possible=cpus("0-11"),
    numa=(cpus("0-5"), cpus("6-11")),
    siblings=tuple(cpus(f"{first}-{first + 1}") for first in range(0, 12, 2)),
    pool=Group(POOL, cpus=cpus("2-11"), effective=cpus("2-11")),
)


@pytest.mark.parametrize(
    ("taken", "wanted", "chosen"),
    [
        ((), None, "2-11"),
        ((held("a", "2-3"),), None, "4-11"),
        ((), "2", "2-3"),
        ((), "4", "2-5"),
        ((), "5", "6-10"),
        ((), "7", "2-8"),
        ((held("a", "2,4"),), "1", "3"),
        ((held("a", "2"),), "2", "4-5"),
        ((held("a", "2-5"),), "2", "6-7"),
        ((held("a", "2-5", populated=False),), "4-5", "4-5"),
        ((), "3,7", "3,7"),
    ],
)
def test_the_cpus_are_free_near_one_another_and_of_whole_cores(
    taken: tuple[Group, ...], wanted: str | None, chosen: str
) -> None:
    assert str(choose(Wanted(wanted), replace(FACTS, subsets=taken))) == chosen


@pytest.mark.parametrize("name", ["probes", "probes-of-mdguest.scope", "wake"])
def test_mdguests_own_cgroups_hold_nothing(name: str) -> None:
    own = Group(f"{POOL}/{name}", effective=cpus("2-11"), populated=True)
    assert subsets(replace(FACTS, subsets=(own,))) == []


BAD = {
    "0": (BadInput, "at least 1"),
    "-1": (BadInput, "--cpus: .*'-1'"),
    "x": (BadInput, "--cpus: .*expected a number of CPUs or"),
    "": (BadInput, "--cpus: expected"),
    "9" * 5000: (BadInput, "--cpus: .*expected a number of CPUs or"),
    "11": (Refused, "only 8 of the pool are free"),
    "0-2": (Refused, "CPU 0-1 is not in the pool"),
    "4-5": (Refused, "fw holds CPU 4"),
}


@pytest.mark.parametrize("wanted", BAD)
def test_what_cannot_be_given_is_refused_with_the_reason(wanted: str) -> None:
    kind, message = BAD[wanted]
    with pytest.raises(kind, match=message):
        choose(Wanted(wanted), replace(FACTS, subsets=(held("fw", "4"), held("lb", "8"))))


@pytest.mark.parametrize("on", ["3", "3-3", "3,7"])
def test_on_names_the_cpus_themselves(on: str) -> None:
    assert choose(Wanted(on=on), FACTS) == cpus(on)
    assert choose(Wanted("3-3"), FACTS) == cpus("3")
    assert len(choose(Wanted("3"), FACTS)) == 3


BAD_ON = {
    "": (BadInput, "--on: expected a CPU list"),
    "x": (BadInput, "--on: 'x'"),
    "1": (Refused, "--on 1: CPU 1 is not in the pool"),
    "4": (Refused, "--on 4: fw holds CPU 4"),
}


@pytest.mark.parametrize("on", BAD_ON)
def test_what_cannot_be_given_by_name_is_refused_with_the_reason(on: str) -> None:
    kind, message = BAD_ON[on]
    with pytest.raises(kind, match=message):
        choose(Wanted(on=on), replace(FACTS, subsets=(held("fw", "4"),)))


def test_how_many_and_which_exclude_one_another() -> None:
    with pytest.raises(BadInput, match="--cpus and --on: expected one of them"):
        choose(Wanted("1", "3"), FACTS)


def test_who_meant_a_cpu_by_its_number_is_told_how_to_name_it() -> None:
    held_most = replace(FACTS, subsets=(held("fw", "2,4-11"),))
    with pytest.raises(Refused, match=r"only 1 of the pool are free \(3\); .* --on 3$"):
        choose(Wanted("3"), held_most)


def test_without_a_pool_apply_is_named() -> None:
    with pytest.raises(NotFound, match="mdguest apply"):
        choose(Wanted("1"), replace(FACTS, pool=None))


def test_all_that_is_held_leaves_nothing() -> None:
    with pytest.raises(Refused, match="fw holds"):
        choose(Wanted(), replace(FACTS, subsets=(held("fw", "2-11"),)))


def test_a_service_of_the_pool_holds_its_cpus_or_all() -> None:
    service = Group(f"{POOL}/vpp.service", cpus=cpus("4"), populated=True)
    free = replace(FACTS, subsets=(service, held("fw", "5")))
    assert [(one.name, str(one.cpus)) for one in subsets(free)] == [
        ("vpp.service", "4"),
        ("fw", "5"),
    ]
    greedy = replace(FACTS, subsets=(replace(service, cpus=EMPTY),))
    with pytest.raises(Refused, match="0 of the pool are free"):
        choose(Wanted("1"), greedy)


def test_one_whose_cpus_are_offline_holds_those_that_it_runs_on() -> None:
    moved = replace(held("fw", "2"), effective=cpus("3-11"))
    with pytest.raises(Refused, match="0 of the pool are free"):
        choose(Wanted("1"), replace(FACTS, online=cpus("0-1,3-11"), subsets=(moved,)))


@pytest.mark.parametrize("program", ["/opt/g++", "my app", "_x", "a@b", "ä", "x" * 300, "..", "[["])
def test_every_program_gets_a_name(program: str) -> None:
    assert usual_name(program) == checked_name(usual_name(program))


def test_a_measurement_holds_nothing() -> None:
    probes = Group(f"{POOL}/probes-of-mdguest.scope", cpus=EMPTY, populated=True)
    assert subsets(replace(FACTS, subsets=(probes,))) == []


@given(st.lists(st.integers(1, 4), max_size=6))
def test_subsets_never_overlap(counts: list[int]) -> None:
    taken: list[Group] = []
    for number, count in enumerate(counts):
        try:
            chosen = choose(Wanted(str(count)), replace(FACTS, subsets=tuple(taken)))
        except Trouble:
            assert sum(len(group.asked) for group in taken) + count > 10
            continue
        assert len(chosen) == count
        assert not any(group.asked & chosen for group in taken)
        taken.append(held(str(number), str(chosen)))


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", "ä", "x" * 65, "a\n"])
def test_a_name_that_systemd_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="--name"):
        checked_name(name)


def test_placeholders_become_the_subset() -> None:
    command = ["testpmd", "-l", "{lcores}", "--x={cpus}", "{other}"]
    assert filled(command, cpus("2-3,6")) == ["testpmd", "-l", "2,3,6", "--x=2-3,6", "{other}"]
