"""CPUs that go offline and come back, before and while others are isolated: whoever has chosen CPUs
is still known by them, and gets them back.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdguest.cpuset import CpuSet

from tests.guest.fake import KERNELS, FakeGuest, guest
from tests.guest.fake.snapshot import snapshot
from tests.guest.fake.tasks import Task
from tests.guest.use import changed, command, isolate, plan, undo, view

each_kernel = pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.2"])


def with_thread(kernel: str, cpus: str, online: str = "0-5") -> tuple[FakeGuest, Task]:
    """A guest of six CPUs, and a thread of a service that has chosen some."""
    made = guest(kernel, cpus="0-5", irqbalance=False)
    made.set_online(online)
    return made, made.spawn("pmd", "/system.slice/cron.service", CpuSet.parse(cpus))


def claimed(made: FakeGuest) -> list[str]:
    return [str(claim.cpus) for claim in view(made, "2-3").plan.claims]


@each_kernel
@pytest.mark.parametrize("chosen", ["0-1", "1-2", "2-3"])
@pytest.mark.parametrize("online", ["0,2-5", "0-1,3-5"])
def test_what_was_offline_at_first_belongs_to_the_choice(
    kernel: str, chosen: str, online: str
) -> None:
    made, thread = with_thread(kernel, chosen)
    made.set_online(online)
    isolate(made, "2-3")
    assert claimed(made) == ([] if chosen == "0-1" else [chosen])
    made.set_online("0-5")
    isolate(made, "2-3")
    assert view(made, "2-3").problems == []
    undo(made)
    assert str(made.affinity(thread.tid)) == chosen


@each_kernel
@pytest.mark.parametrize("chosen", ["3", "1,3"])
@pytest.mark.parametrize(("online", "then"), [("0-3", "0-5"), ("0,2-3", "0-3"), ("0-5", "0,2-3")])
def test_shared_cpus_that_come_or_go_make_nobody_forgotten(
    kernel: str, chosen: str, online: str, then: str
) -> None:
    made, thread = with_thread(kernel, chosen)
    made.set_online(online)
    isolate(made, "2-3")
    assert claimed(made) == [chosen]
    made.set_online(then)
    isolate(made, "2-3")
    assert claimed(made) == [chosen]
    made.set_online("0-5")
    undo(made)
    assert str(made.affinity(thread.tid)) == chosen


@each_kernel
def test_a_thread_that_may_run_anywhere_gets_shared_cpus_that_come(kernel: str) -> None:
    made, thread = with_thread(kernel, "3")
    made.set_online("0-3")
    isolate(made, "2-3")
    assert str(made.affinity(thread.tid)) == "0-1"
    made.set_online("0-5")
    isolate(made, "2-3")
    assert str(made.affinity(thread.tid)) == "0-1,4-5"
    assert plan(made, "2-3").changes == ()


@pytest.mark.parametrize(
    ("kernel", "says", "has"),
    [
        ("6.1", ", without CPU 1, which is offline: 0,2-5 → 2", "2"),
        ("6.12", ": 0,4-5 → 1-2", "1-2"),
    ],
)
def test_an_undo_while_a_cpu_is_offline_says_what_it_cannot_give_back(
    kernel: str, says: str, has: str
) -> None:
    made, thread = with_thread(kernel, "1-2")
    made.set_online("0,2-5")
    isolate(made, "2-3")
    _, said = command(made, "undo", "--verbose")
    assert f"task {thread.tid} (pmd){says}" in said
    made.set_online("0-5")
    assert str(made.affinity(thread.tid)) == has


DEDICATED = st.sampled_from(("2-3", "3", "2-3,5", ""))
GOING = st.sampled_from(("0-3", "0-5", "0-4", "0,2-5"))


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([name for name, kernel in KERNELS.items() if kernel.keeps_masks]),
    st.lists(st.tuples(DEDICATED, GOING), min_size=1, max_size=5),
)
def test_whichever_are_online_meanwhile_an_undo_gives_back_the_choice(
    kernel: str, story: list[tuple[str, str]]
) -> None:
    made, thread = with_thread(kernel, "0,3")
    for dedicated, online in story:
        made.set_online(online)
        isolate(made, dedicated)
        lost = CpuSet.parse(dedicated) & CpuSet.parse("3")
        assert not made.affinity(thread.tid) & lost
        assert [str(claim.cpus) for claim in view(made, dedicated).plan.claims] == ["0,3"] * bool(
            lost
        )
    made.set_online("0-5")
    undo(made)
    assert str(made.affinity(thread.tid)) == "0,3"


@pytest.mark.parametrize("kernel", ["5.15", "6.1"])
def test_affinities_come_back_where_the_slice_had_only_a_cpu_that_is_offline(kernel: str) -> None:
    """Its drop-in is all that goes in the end: with it systemd takes the cpusets away."""
    made = guest(kernel, "0-2", online="0-1")
    before = snapshot(made)
    isolate(made, "2", exempt="ovs.slice=2")
    assert undo(made).failures == {}
    assert changed(made, before) == {}
