"""Any guest, any layout: what is always true of plans, and of what comes of them."""

from __future__ import annotations

import contextlib
import copy

import pytest
from hypothesis import assume, given, settings
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Refused
from mdguest.isolation import state
from mdguest.isolation.apply import Outcome, memory
from mdguest.isolation.journal import Journal
from mdguest.isolation.observe import observe
from mdguest.isolation.plan import plan
from mdguest.isolation.wants import FILES
from mdguest.knobs.kind import Problem
from mdguest.settings import Settings

from tests.guest.fake import FakeGuest, snapshot
from tests.guest.random_guests import Case, cases
from tests.guest.use import changed, isolate, problems, undo
from tests.guest.use import plan as planned

NEWER = ("6.1", "6.12", "7.2")
"""Linux 5.15 lets a partition and its neighbour not swap CPUs: neither can take what is not free
yet. Then the outcome says so, and an undo comes first."""


def applied(case: Case, made: FakeGuest, cpus: str) -> Outcome:
    """The outcome of what is neither refused nor, without systemd, beyond this kernel."""
    try:
        outcome = isolate(made, cpus, **case.settings)
    except Refused:
        assume(False)
        raise
    assume(not (outcome.plan.mode == "raw" and outcome.refused))
    return outcome


@settings(max_examples=40, deadline=None)
@given(cases())
def test_a_plan_leaves_a_cpu_that_can_run_the_guest_or_is_refused(case: Case) -> None:
    made = case.make()
    shape = made.shape
    try:
        found = planned(made, case.dedicated, **case.settings)
    except Refused:
        return
    assert found.housekeeping
    assert found.housekeeping <= shape.online
    assert found.housekeeping - shape.isolcpus - shape.nohz_full or not found.dedicated
    assert not found.housekeeping & found.dedicated
    assert found.dedicated <= CpuSet.parse(case.dedicated)


@settings(max_examples=15, deadline=None)
@given(cases())
def test_planning_changes_nothing_and_says_the_same_twice(case: Case) -> None:
    made = case.make()
    before = snapshot(made)
    asked, given_ = CpuSet.parse(case.dedicated), Settings(**case.settings)
    facts = observe(made, (), FILES, given_.exempted())
    kept = copy.deepcopy(facts)
    remembered = memory(Journal(made), state.load(made))
    with contextlib.suppress(Refused):
        assert plan(asked, facts, given_, remembered) == plan(asked, facts, given_, remembered)
    assert facts == kept
    assert made.changes == 0
    assert changed(made, before) == {}


def left(made: FakeGuest, case: Case, cpus: str) -> list[Problem]:
    """What apply should have put right; pods in a guest with a pool are for others to mend."""
    return [problem for problem in problems(made, cpus, **case.settings) if problem.heals]


@settings(max_examples=20, deadline=None)
@given(cases())
def test_what_apply_says_is_done_is_done_and_stays(case: Case) -> None:
    made = case.make()
    outcome = applied(case, made, case.dedicated)
    assert outcome.failures == {}
    assert left(made, case, case.dedicated) == []
    assert isolate(made, case.dedicated, anew=False, **case.settings).done == []


@settings(max_examples=20, deadline=None)
@given(cases())
def test_undo_brings_every_value_back(case: Case) -> None:
    made = case.make()
    before = snapshot(made)
    applied(case, made, case.dedicated)
    assert undo(made).failures == {}
    assert changed(made, before) == {}
    assert planned(made, "").changes == ()


@settings(max_examples=20, deadline=None)
@given(cases(NEWER))
def test_a_change_of_the_layout_stops_nobody_and_can_be_undone(case: Case) -> None:
    made = case.make()
    before = snapshot(made)
    applied(case, made, case.dedicated)
    outcome = applied(case, made, case.then)
    assert outcome.failures == {}
    assert left(made, case, case.then) == []
    assert undo(made).failures == {}
    assert changed(made, before) == {}
    assert made.tasks.killed == []


@settings(max_examples=10, deadline=None)
@given(cases())
def test_a_refused_layout_changes_nothing(case: Case) -> None:
    made = case.make()
    before = snapshot(made)
    beyond = max(made.shape.possible) + 1
    with pytest.raises(BadInput, match=str(beyond)):
        isolate(made, f"{case.dedicated},{beyond}", **case.settings)
    assert made.changes == 0
    assert changed(made, before) == {}
