"""Reading /proc: every column where its CPU is, and every interrupt by its kind."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdguest.measure import counters

from tests.guest.measure.samples import (
    ARM,
    ONE_CPU,
    SCHEDSTAT,
    SOFTIRQS,
    STAT,
    X86,
    of_size,
)


def test_a_count_belongs_to_its_columns_cpu_also_behind_an_offline_one() -> None:
    found = counters.interrupts(X86)
    assert found["LOC"].counts == {0: 1889569, 1: 2061850, 3: 1200}
    assert found["25"].counts == {0: 100200, 1: 300, 3: 7}


@pytest.mark.parametrize(
    ("text", "key", "kind", "name"),
    [
        (X86, "LOC", "LOC", "Local timer interrupts"),
        (X86, "RES", "RES", "Rescheduling interrupts"),
        (X86, "CAL", "CAL", "Function call interrupts"),
        (X86, "TLB", "TLB", "TLB shootdowns"),
        (X86, "HYP", "other", "Hypervisor callback interrupts"),
        (X86, "25", "device", "virtio1-input.0"),
        (X86, "26", "device", "i915, snd_hda_intel:card0"),
        (X86, "0", "device", "timer"),
        (X86, "27", "device", "irq 27"),
        (ARM, "10", "LOC", "arch_timer"),
        (ARM, "12", "device", "uart-pl011"),
        (ARM, "48", "device", "virtio0-input.0"),
        (ARM, "IPI0", "RES", "Rescheduling interrupts"),
        (ARM, "IPI1", "CAL", "Function call interrupts"),
    ],
)
def test_an_interrupt_is_known_by_its_description_on_every_architecture(
    text: str, key: str, kind: str, name: str
) -> None:
    assert counters.interrupts(text)[key][:2] == (kind, name)


@pytest.mark.parametrize("text", [X86, ARM, ONE_CPU], ids=["x86", "arm", "one CPU"])
def test_rows_that_do_not_count_by_cpu_are_left_out(text: str) -> None:
    assert not counters.interrupts(text).keys() & {"ERR", "MIS", "Err"}


def test_a_guest_of_one_cpu_has_its_rows() -> None:
    assert counters.interrupts(ONE_CPU).keys() == {"4", "LOC"}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 128, 1000])
def test_any_number_of_cpus_is_read(count: int) -> None:
    found = counters.interrupts(of_size(count))
    assert found["RES"].counts == {cpu: cpu for cpu in range(count)}
    assert found["LOC"].counts == dict.fromkeys(range(count), 7)


def test_softirqs_are_counted_by_name_and_cpu() -> None:
    assert counters.softirqs(SOFTIRQS)["TIMER"] == {0: 295028, 1: 377645, 2: 0, 3: 12}


def test_a_cpus_times_are_read_without_the_sum_of_all() -> None:
    found = counters.times(STAT)
    assert found.keys() == {0, 1, 3}
    assert (found[3].irq, found[3].softirq, found[3].steal) == (1, 2, 3)


def test_context_switches_are_counted_for_all_cpus_together() -> None:
    assert counters.context_switches(STAT) == 31253701
    assert counters.context_switches("") == 0


def test_turns_are_read_where_the_kernel_counts_them() -> None:
    assert counters.turns(SCHEDSTAT) == {0: 16217, 1: 15870}
    assert counters.turns("") == {}


@settings(deadline=None)
@given(text=st.text(max_size=300))
def test_no_text_breaks_the_reading_of_interrupts(text: str) -> None:
    counters.interrupts(text)
    counters.turns(text)
    counters.context_switches(text)


def test_this_machine_is_read() -> None:
    with open("/proc/interrupts") as file:  # noqa: PTH123  # pathlib stats first
        found = counters.interrupts(file.read())
    assert found
    assert set().union(*(line.counts for line in found.values())) <= set(range(os.cpu_count() or 1))
