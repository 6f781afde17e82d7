"""What a kernel's command line brings, and what none could bring."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest
from mdguest.cpuset import EMPTY, CpuSet
from mdguest.doctor import abilities
from mdguest.facts.boot import boot, kernel_list
from mdguest.isolation.observe import observe
from typing_extensions import override

from tests.guest.fake import FakeGuest, guest
from tests.guest.use import plan

ALL = CpuSet.parse("0-7")
CONFIG = "/boot/config-6.1.0-18-cloud-amd64"

LISTS = {
    "2-3,5": "2-3,5",
    "all": "0-7",
    "6-N": "6-7",
    "N": "7",
    "1-7:1/2": "1,3,5,7",
    "0-7:2/4": "0-1,4-5",
    "6-99": "6-7",
    "x": "",
    "3-1": "",
    "0-7:3/2": "",
}


@pytest.mark.parametrize("text", LISTS)
def test_a_list_of_the_command_line_is_read_as_the_kernel_does(text: str) -> None:
    assert str(kernel_list(text, ALL)) == LISTS[text]


CALLBACKS = {
    "quiet": "",
    "rcu_nocbs=2-3": "2-3",
    "rcu_nocbs=1 rcu_nocbs=4-5": "4-5",
    "rcu_nocbs=all": "0-7",
    "rcu_nocbs": "",
    "xrcu_nocbs=2": "",
}


@pytest.mark.parametrize("cmdline", CALLBACKS)
def test_rcu_nocbs_names_its_cpus_and_nohz_full_implies_it(cmdline: str) -> None:
    assert str(boot(guest(), cmdline, EMPTY, ALL).no_callbacks) == CALLBACKS[cmdline]
    implied = boot(guest(), cmdline, CpuSet.parse("6"), ALL).no_callbacks
    assert implied == CpuSet.parse(CALLBACKS[cmdline]) | CpuSet.parse("6")


def configured(*lines: str, packed: bool = False) -> FakeGuest:
    made = guest("6.1")
    text = "CONFIG_X=y\n" + "".join(f"{line}\n" for line in lines)
    if not packed:
        made.disk.put(CONFIG, text)
        return made

    class Packed(FakeGuest):
        @override
        def read_bytes(self, path: str, limit: int) -> bytes:
            assert path == "/proc/config.gz"
            return gzip.compress(text.encode())

    made.__class__ = Packed
    return made


@pytest.mark.parametrize("packed", [False, True], ids=["in /boot", "in /proc"])
def test_a_kernel_s_configuration_says_what_it_can(packed: bool) -> None:
    able = configured("CONFIG_NO_HZ_FULL=y", "CONFIG_RCU_NOCB_CPU=y", packed=packed)
    assert boot(able, "rcu_nocbs=2", EMPTY, ALL) == (True, CpuSet.parse("2"))
    unable = configured("# CONFIG_NO_HZ_FULL is not set", packed=packed)
    assert boot(unable, "rcu_nocbs=2 nohz_full=2", EMPTY, ALL) == (False, EMPTY)
    always = configured("CONFIG_RCU_NOCB_CPU=y", "CONFIG_RCU_NOCB_CPU_DEFAULT_ALL=y", packed=packed)
    assert boot(always, "", EMPTY, ALL).no_callbacks == ALL


def test_without_one_the_tick_tells_by_what_became_of_the_argument() -> None:
    assert boot(guest(), "quiet", EMPTY, ALL).tickless is None
    assert boot(guest(), "nohz_full=2-3", EMPTY, ALL).tickless is False
    assert boot(guest(), "nohz_full=2-3", CpuSet.parse("2-3"), ALL).tickless is True


def test_a_kernel_that_cannot_stop_its_tick_is_said_to_be_so() -> None:
    made = configured("CONFIG_RCU_NOCB_CPU=y")
    planned = plan(made, "2-3")
    assert planned.reboot == ("rcu_nocbs=2-3: RCU callbacks still run on CPU 2-3",)
    assert any("built without NO_HZ_FULL" in note for note in planned.notes)
    found = {one.name: one for one in abilities(made, observe(made), CpuSet.parse("2-3"))}
    assert found["tick stops (nohz_full)"][1:] == (
        False,
        "this kernel is built without NO_HZ_FULL; no reboot helps",
    )


def test_doctor_names_the_cpus_that_rcu_nocbs_does_not() -> None:
    facts = replace(observe(guest()), no_callbacks=CpuSet.parse("1,3"))
    [found] = [one for one in abilities(guest(), facts, CpuSet.parse("2-3")) if "rcu" in one.name]
    assert found.able is False
    assert found.says.startswith("CPU 1,3, but not 2: boot with rcu_nocbs=")
    [found] = [one for one in abilities(guest(), facts, CpuSet.parse("3")) if "rcu" in one.name]
    assert (found.able, found.says) == (True, "CPU 1,3")
