"""irqbalance beside the isolation: told, obeyed, and never forgotten, whenever it acts."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdguest.cpuset import EMPTY, CpuSet
from mdguest.isolation.apply import Outcome
from mdguest.isolation.journal import JOURNAL
from mdguest.knobs.irqbalance import BANS

from tests.guest.fake import FakeGuest, guest
from tests.guest.fake.devices import Irqbalance
from tests.guest.use import command, isolate, plan, problems, scan, undo, view


def test_an_undo_before_irqbalance_has_woken_up_still_reaches_it() -> None:
    made = guest(isolcpus="3")
    isolate(made, "2")
    undo(made)
    scan(made)
    assert made.irqbalance is not None
    assert str(made.irqbalance.banned) == "3"
    assert plan(made, "").changes == ()


def test_an_apply_before_irqbalance_has_heard_of_the_undo_still_reaches_it() -> None:
    made = guest()
    isolate(made, "2-3")
    scan(made)
    undo(made)
    isolate(made, "2-3")
    scan(made)
    assert made.irqbalance is not None
    assert str(made.irqbalance.banned) == "2-3"
    undo(made)
    scan(made)
    assert str(made.irqbalance.banned) == ""


def test_the_socket_of_an_irqbalance_that_was_killed_does_no_harm() -> None:
    made = guest(irqbalance=False)
    made.disk.put("/run/irqbalance/irqbalance17.sock", "")
    assert isolate(made, "2-3").failures == {}
    assert problems(made, "2-3") == []


def test_what_irqbalance_makes_of_the_housekeeping_cpus_is_no_drift() -> None:
    made = guest()
    isolate(made, "2-3")
    line = next(irq for irq in made.devices.irqs if irq.number == 24)
    for choice in ("1", "0", "0-1"):
        line.cpus = CpuSet.parse(choice)
        assert problems(made, "2-3") == []
        assert isolate(made, "2-3").done == []
    line.cpus = CpuSet.parse("1-2")
    assert [problem.what for problem in problems(made, "2-3")] == ["irq 24 (virtio0-config)"]
    undo(made)
    assert str(line.cpus) == "0-3"


def test_without_irqbalance_a_line_that_was_narrowed_is_drift() -> None:
    made = guest(irqbalance=False)
    isolate(made, "2-3")
    line = next(irq for irq in made.devices.irqs if irq.number == 24)
    line.cpus = CpuSet.parse("1")
    assert [problem.what for problem in problems(made, "2-3")] == ["irq 24 (virtio0-config)"]


def test_an_irqbalance_that_answers_nobody_for_a_while_is_not_forgotten() -> None:
    made = guest(isolcpus="1")
    isolate(made, "2-3")
    scan(made)
    daemon = made.irqbalance
    assert daemon is not None
    daemon.asleep = True
    isolate(made, "2-3")
    assert view(made, "2-3").problems == []
    scan(made)
    assert str(daemon.banned) == "1-3"
    daemon.asleep = True
    undo(made)
    undo(made)
    scan(made)
    assert str(daemon.banned) == "1"
    undo(made)
    assert not made.exists(JOURNAL)


@pytest.mark.parametrize("when", ["asleep", "awake"])
def test_an_irqbalance_that_was_started_anew_is_told_and_freed_again(when: str) -> None:
    made = guest()
    isolate(made, "2-3")
    made.irqbalance = Irqbalance(EMPTY, made.shape.possible, asleep=when == "asleep")
    isolate(made, "2-3")
    scan(made)
    assert str(made.irqbalance.banned) == "2-3"
    undo(made)
    scan(made)
    assert str(made.irqbalance.banned) == ""


def test_an_irqbalance_that_was_asleep_at_first_is_told_and_freed_again() -> None:
    made = guest(isolcpus="1")
    assert made.irqbalance is not None
    made.irqbalance.asleep = True
    isolate(made, "2-3")
    scan(made)
    assert str(made.irqbalance.banned) == "1-3"
    undo(made)
    scan(made)
    assert str(made.irqbalance.banned) == "1"


@pytest.mark.parametrize("socket", ["none", "dead", "speechless"])
def test_an_irqbalance_that_runs_and_cannot_be_told_is_named(socket: str) -> None:
    made = guest(irqbalance=False)
    made.spawn("irqbalance", "/system.slice/cron.service")
    if socket == "dead":
        made.disk.put("/run/irqbalance/irqbalance17.sock", "")
    if socket == "speechless":
        made.irqbalance = Irqbalance(EMPTY, made.shape.possible, speechless=True)
    isolate(made, "2-3")
    [problem] = problems(made, "2-3")
    assert (problem.what, problem.expected) == ("irqbalance", "it keeps off CPU 2-3")
    assert "cannot be told" in problem.found
    assert "mdguest render irqbalance" in problem.why


@pytest.mark.parametrize(
    ("environment", "isolcpus", "well"),
    [
        ("IRQBALANCE_BANNED_CPULIST=2-3", "", True),
        ("IRQBALANCE_BANNED_CPULIST=0,2-3", "", True),
        ("IRQBALANCE_BANNED_CPULIST=2", "", False),
        ("IRQBALANCE_BANNED_CPUS=c", "", True),
        ("IRQBALANCE_BANNED_CPUS=00000000,0000000c", "", True),
        ("IRQBALANCE_BANNED_CPUS=4\0IRQBALANCE_BANNED_CPULIST=2-3", "", False),
        ("IRQBALANCE_BANNED_CPUS=\0IRQBALANCE_BANNED_CPULIST=2-3", "", True),
        ("IRQBALANCE_BANNED_CPULIST=", "2-3", False),
        ("TZ=UTC", "2-3", True),
        ("IRQBALANCE_BANNED_CPUS=0x", "", False),
    ],
)
def test_an_irqbalance_that_was_started_to_keep_off_need_not_be_told(
    environment: str, isolcpus: str, well: bool
) -> None:
    made = guest("7.2", irqbalance=False, isolcpus=isolcpus)
    daemon = made.spawn("irqbalance", "/system.slice/cron.service")
    made.disk.put(f"/proc/{daemon.tid}/environ", f"PATH=/bin\0{environment}\0")
    isolate(made, "2-3")
    assert (problems(made, "2-3") == []) is well


TROUBLES = (errno.EIO, errno.EMFILE, errno.ENOBUFS, errno.EINVAL)


@pytest.mark.parametrize("trouble", TROUBLES, ids=errno.errorcode.get)
def test_one_that_cannot_be_told_is_an_error_of_each_command_and_not_forgotten(
    trouble: int,
) -> None:
    made = guest()
    made.spawn("irqbalance", "/system.slice/cron.service")
    made.disk.put("/run/mdguest/given", "2-3")
    assert command(made, "apply", "--source=file:/run/mdguest/given")[0] == 0
    scan(made)
    daemon = made.irqbalance
    assert daemon is not None
    daemon.trouble = trouble
    for _ in range(2):
        status, said = command(made, "undo")
        assert (status, "irqbalance could not be told (/run/irqbalance/" in said) == (1, True)
    assert str(daemon.banned) == "2-3"
    daemon.trouble = 0
    assert command(made, "undo")[0] == 0
    scan(made)
    assert str(daemon.banned) == ""
    assert command(made, "undo")[0] == 0
    assert not made.exists(JOURNAL)


def test_what_it_is_told_last_fails_and_is_no_success_though_it_reads_right() -> None:
    made = guest()
    isolate(made, "2-3")  # told, and not yet done
    daemon = made.irqbalance
    assert daemon is not None
    daemon.trouble = errno.EIO
    assert [knob.kind for knob in undo(made).failures] == ["irqbalance"]
    daemon.trouble = 0
    scan(made)
    assert undo(made).failures == {}
    scan(made)
    assert str(daemon.banned) == ""


SIBLINGS = ",".join(map(str, range(1, 512, 2)))
"""Every other CPU: a list of 968 bytes, of which irqbalance before 1.9.5 reads 486."""


def was_told(outcome: Outcome) -> bool:
    return "irqbalance" in [step.knob.kind for step in outcome.done]


def test_a_list_that_is_too_long_for_it_is_told_with_its_last_gaps_closed() -> None:
    made = guest(cpus="0-511")
    isolate(made, SIBLINGS)
    assert problems(made, SIBLINGS) == []
    assert made.irqbalance is not None
    banned = made.irqbalance.banned
    assert CpuSet.parse(SIBLINGS) <= banned
    assert len(CpuSet.first(512) - banned) > 100  # that interrupts may still come to
    assert not was_told(isolate(made, SIBLINGS))
    made.irqbalance.banned = CpuSet.parse("1,3")
    assert "irqbalance" in [step.knob.kind for step in plan(made, SIBLINGS).changes]
    undo(made)
    scan(made)
    assert str(made.irqbalance.banned) == ""


def test_one_that_was_started_with_such_a_list_is_right_as_it_is() -> None:
    made = guest(cpus="0-511")
    assert made.irqbalance is not None
    made.irqbalance.banned = made.irqbalance.default = CpuSet.parse(SIBLINGS)
    assert not was_told(isolate(made, "3,5"))
    isolate(made, SIBLINGS)
    assert problems(made, SIBLINGS) == []
    undo(made)
    scan(made)
    undo(made)
    assert not made.exists(JOURNAL)


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(0, 4095)).map(CpuSet.of) | st.integers(0, (1 << 700) - 1).map(CpuSet))
def test_it_reads_the_whole_of_whatever_it_is_told(cpus: CpuSet) -> None:
    made = guest(possible="0-4095")
    BANS.write(made, "banned CPUs", str(cpus))
    scan(made)
    assert made.irqbalance is not None
    assert cpus <= made.irqbalance.banned
    assert cpus == made.irqbalance.banned or len(str(cpus)) > 486


LAYOUTS = ("2-3", "1-3", "3")
EVENTS = (*LAYOUTS, "undo", "scan", "sleep", "restart")


def happens(made: FakeGuest, event: str) -> None:
    daemon = made.irqbalance
    assert daemon is not None
    if event in LAYOUTS:
        isolate(made, event)
    elif event == "undo":
        undo(made)
    elif event == "scan":
        daemon.scan()
    elif event == "sleep":
        daemon.asleep = True
    else:
        made.irqbalance = replace(daemon, banned=daemon.default, told=None, asleep=False)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.sampled_from(EVENTS), max_size=7), st.sampled_from(LAYOUTS))
def test_whatever_has_happened_the_last_word_reaches_it(events: list[str], cpus: str) -> None:
    made = guest(isolcpus="1")
    for event in events:
        happens(made, event)
    isolate(made, cpus)
    assert problems(made, cpus) == []
    assert made.irqbalance is not None
    assert made.irqbalance.banned == CpuSet.parse(f"1,{cpus}")
    undo(made)
    scan(made)
    assert str(made.irqbalance.banned) == "1"
    undo(made)
    assert not made.exists(JOURNAL)
