"""The kernel's forms of a CPU set, there and back; what counts as the same; old values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mdguest import procfs
from mdguest.cpuset import CpuSet
from mdguest.facts import Knob
from mdguest.isolation.journal import JOURNAL, Journal
from mdguest.knobs.kind import same_cpus
from mdguest.knobs.units import property_now

from tests.guest.fake import guest

ALL = CpuSet.parse("0-3")
cpu_sets = st.sets(st.integers(0, 1023)).map(CpuSet.of)


@given(cpu_sets)
def test_a_mask_reads_back_as_what_was_written(cpus: CpuSet) -> None:
    assert procfs.from_mask(procfs.mask(cpus)) == cpus


@pytest.mark.parametrize(
    ("cpus", "mask"),
    [("", "0"), ("0-3", "f"), ("31", "80000000"), ("32", "1,00000000"), ("0,35", "8,00000001")],
)
def test_a_mask_has_the_kernels_groups_of_32_bits(cpus: str, mask: str) -> None:
    assert procfs.mask(CpuSet.parse(cpus)) == mask


@pytest.mark.parametrize(
    ("asked", "kernel", "shown"),
    [
        ("2-3", "2-3", "2-3"),
        ("2-3", None, "2-3"),
        ("", "", ""),
        ("", "0-3", ""),
        ("7", "2-3", "7 (kernel: 2-3)"),
        ("", "0-1", "unset (kernel: 0-1)"),
        ("0-1", "", "0-1 (kernel: unset)"),
    ],
)
def test_a_units_cpus_are_what_systemd_and_the_kernel_agree_on(
    asked: str, kernel: str | None, shown: str
) -> None:
    assert property_now(asked, kernel, ALL) == shown


def test_what_is_no_cpu_list_is_the_same_as_nothing() -> None:
    assert not same_cpus("7 (kernel: 2-3)", "7")
    assert not same_cpus("2", "(null)")
    assert same_cpus("0,1", "0-1")


def test_a_start_time_is_found_behind_any_name() -> None:
    text = "12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"
    told = procfs.stat(text)
    assert (told.tid, told.name, told.state, told.started) == (12, "a) b (c)", "S", 4711)


# ---- the journal ----

IRQ = Knob("irq", "/proc/irq/24/smp_affinity_list")
TASK = Knob("affinity", "12:345")


def test_the_journal_keeps_the_first_value_of_a_knob() -> None:
    machine = guest()
    Journal(machine).note((IRQ, "0-3"))
    Journal(machine).note((IRQ, "0-1"))
    assert Journal(machine).originals == {IRQ: "0-3"}


def test_the_journal_keeps_the_last_affinity_that_a_program_chose() -> None:
    machine = guest()
    Journal(machine).note((TASK, "0-3"))
    Journal(machine).note((TASK, "1"))
    assert Journal(machine).originals == {TASK: "1"}


def test_what_is_put_back_is_forgotten() -> None:
    machine = guest()
    journal = Journal(machine)
    journal.note((IRQ, "0-3"), (TASK, "1"))
    journal.back(IRQ)
    assert Journal(machine).originals == {TASK: "1"}


def test_an_entry_that_a_crash_cut_off_spoils_no_other() -> None:
    machine = guest()
    Journal(machine).note((IRQ, "0-3"))
    machine.append(JOURNAL, '\n{"kind": "irq", "tar')
    Journal(machine).note((TASK, "1"))
    assert Journal(machine).originals == {IRQ: "0-3", TASK: "1"}


def test_a_journal_of_another_boot_says_nothing() -> None:
    machine = guest()
    Journal(machine).note((IRQ, "0-3"))
    text = machine.read(JOURNAL).split("\n", 1)[1]
    machine.save(JOURNAL, '{"boot": "another"}\n' + text)
    assert Journal(machine).originals == {}


def test_a_journal_that_is_empty_is_removed_when_all_is_settled() -> None:
    machine = guest()
    journal = Journal(machine)
    journal.begin({"dedicated": "2-3"})
    journal.note((IRQ, "0-3"))
    assert (Journal(machine).settling, Journal(machine).intent) == (True, {"dedicated": "2-3"})
    journal.back(IRQ)
    journal.complete()
    assert not machine.exists(JOURNAL)
