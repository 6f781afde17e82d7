"""The measurement's course, with processes that are not real."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import Refused
from mdguest.measure import Report, Wanted, measure, run
from mdguest.measure.waiting import Waiting
from mdguest.system import System
from typing_extensions import override

from tests.guest.measure.samples import of_size

ANSWER = "50000000 12000 0 0 3 5 0 0 0 0\n"
SOFTIRQS = "CPU0 CPU1 CPU2 CPU3\nRCU: 0 0 0 0"


class Guest(System):
    """Four CPUs, the timer ticking with each reading; CPU ``taken`` is in use by others."""

    def __init__(self, programs: tuple[str, ...] = (), taken: CpuSet = EMPTY) -> None:
        self.programs, self.taken = programs, taken
        self.readings = 0
        self.pinned: dict[int, CpuSet] = {}
        self.refused = EMPTY

    @override
    def read(self, path: str) -> str:
        self.readings += path == "/proc/interrupts"
        idle = {cpu: 0 if cpu in self.taken else self.readings * 10 for cpu in range(4)}
        stat = "\n".join(
            f"cpu{cpu} {self.readings * 10} 0 0 {idle[cpu]} 0 0 0 0 0 0" for cpu in range(4)
        )
        return {
            "/sys/devices/system/cpu/online": "0-3",
            "/sys/kernel/tracing/available_tracers": "osnoise nop",
            "/proc/interrupts": of_size(4, timer=self.readings * 100).rstrip("\n"),
            "/proc/softirqs": SOFTIRQS,
            "/proc/stat": f"{stat}\nctxt {self.readings}",
            "/proc/schedstat": "version 17",
        }[path]

    @override
    def which(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    @override
    def set_affinity(self, task: int, cpus: CpuSet) -> None:
        if cpus & self.refused:
            raise OSError(22, "Invalid argument")
        self.pinned[task] = cpus


class Process(Waiting):
    """A process whose answer is known beforehand."""

    all: list[Process]

    def __init__(self, command: list[str], answer: str) -> None:
        self.command, self.pid = command, 1000 + len(Process.all)
        self._answer, self.word, self.gone = answer, "", False
        Process.all.append(self)

    @override
    def go(self, word: str = "go") -> None:
        self.word = word

    @override
    def answer(self, timeout: float) -> tuple[int, str]:
        return (0, self._answer) if self._answer else (1, "no such CPU\n")

    @override
    def stop(self) -> None:
        self.gone = True


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    Process.all = []
    monkeypatch.setattr(run, "IDLE_CHECK_SECONDS", 0.0)


def answering(answer: str = ANSWER) -> Callable[[list[str]], Process]:
    return lambda command: Process(command, answer)


def wanted(cpus: str, dedicated: str = "", **more: str) -> Wanted:
    asked = Wanted(CpuSet.parse(cpus), CpuSet.parse(dedicated), seconds=0.01)
    return Wanted(**{**vars(asked), **more})


def reasons(report: Report) -> dict[int, str]:
    return {cpu.cpu: cpu.unprobed for cpu in report.cpus if cpu.unprobed}


def test_each_cpu_has_its_own_probe_and_the_counters_of_the_window_alone() -> None:
    guest = Guest()
    report = measure(guest, wanted("0-3", "2-3"), start=answering())
    assert list(guest.pinned.values()) == [CpuSet.of([cpu]) for cpu in range(4)]
    assert [cpu.dedicated for cpu in report.cpus] == [False, False, True, True]
    assert all(cpu.probe and cpu.probe.worst_us == 12.0 for cpu in report.cpus)
    assert all(cpu.counts.interrupts["LOC"] == 100 for cpu in report.cpus)
    assert report.context_switches == 1


def test_probes_run_for_longer_than_the_window_so_that_it_sees_neither_their_start_nor_end() -> (
    None
):
    measure(Guest(), wanted("0"), start=answering())
    assert float(Process.all[0].word) > 0.01


def test_only_probes_for_dedicated_cpus_are_placed_and_before_they_are_pinned() -> None:
    guest = Guest()
    placed: dict[int, bool] = {}

    def place(pid: int) -> None:
        placed[pid] = pid in guest.pinned

    measure(guest, wanted("0-3", "2-3"), place=place, start=answering())
    assert placed == {1002: False, 1003: False}


def test_a_cpu_where_no_probe_can_be_pinned_is_reported_without() -> None:
    guest = Guest()
    guest.refused = CpuSet.of([2])
    report = measure(guest, wanted("0-3", "2-3"), start=answering())
    assert reasons(report) == {2: "no probe can be placed there: Invalid argument"}
    assert report.cpus[2].counts.interrupts["LOC"] == 100
    assert Process.all[2].word == ""


def test_a_cpu_where_no_probe_can_be_placed_is_reported_without() -> None:
    def place(pid: int) -> None:
        raise Refused("dedicated.slice is not there")

    report = measure(Guest(), wanted("1-2", "2"), place=place, start=answering())
    assert reasons(report) == {2: "no probe can be placed there: dedicated.slice is not there"}


def test_where_nothing_can_be_started_the_counters_are_reported_still() -> None:
    def start(command: list[str]) -> Waiting:
        raise FileNotFoundError(2, "No such file or directory")

    report = measure(Guest(), wanted("0-1"), start=start)
    assert reasons(report).keys() == {0, 1}
    assert report.cpus[0].counts.interrupts["LOC"] == 100


def test_a_probe_that_fails_is_reported_with_its_last_words() -> None:
    report = measure(Guest(), wanted("0"), start=answering(""))
    assert reasons(report) == {0: "the probe ended with status 1: no such CPU"}


@pytest.mark.parametrize(
    ("probing", "probed"), [("idle", [0, 1, 2]), ("always", [0, 1, 2, 3]), ("never", [])]
)
def test_a_dedicated_cpu_that_is_in_use_is_not_disturbed_unless_asked_for(
    probing: str, probed: list[int]
) -> None:
    guest = Guest(taken=CpuSet.parse("0,3"))
    report = measure(guest, wanted("0-3", "2-3", probing=probing), start=answering())
    assert [cpu.cpu for cpu in report.cpus if cpu.probe] == probed
    assert len(Process.all) == len(probed)


def test_cpus_that_are_not_online_are_named() -> None:
    report = measure(Guest(), wanted("2-5"), start=answering())
    assert report.missing == "4-5"
    assert [cpu.cpu for cpu in report.cpus] == [2, 3]


def test_tools_that_are_there_measure_the_dedicated_cpus_from_inside_their_slice() -> None:
    placed: list[int] = []
    guest = Guest(programs=("rtla", "oslat", "cyclictest"))
    report = measure(guest, wanted("0-3", "2-3"), place=placed.append, start=answering())
    assert [section.title for section in report.sections] == [
        "/usr/bin/rtla osnoise top -q -d 2s -c 2-3",
        "/usr/bin/oslat -q -z -D 2 -C 2 -c 3",
        "/usr/bin/cyclictest -q -D 2 -t 2 -a 2-3",
    ]
    assert placed[2:] == [1004, 1005, 1006]
    assert all(process.word == "go" for process in Process.all[4:])


def test_tools_are_left_out_where_they_are_not_asked_for_or_no_cpu_had_a_probe() -> None:
    guest = Guest(programs=("oslat",))
    asked = Wanted(CpuSet.of([0]), seconds=0.01, tools=False)
    assert measure(guest, asked, start=answering()).sections == []
    assert measure(guest, wanted("0", probing="never"), start=answering()).sections == []


def test_a_tool_that_fails_is_a_section_that_says_so() -> None:
    def start(command: list[str]) -> Process:
        return Process(command, "" if "/usr/bin/cyclictest" in command else ANSWER)

    report = measure(Guest(programs=("cyclictest",)), wanted("0"), start=start)
    assert report.sections[0].text == "ended with status 1\nno such CPU"


def test_a_tool_that_cannot_be_started_is_a_section_that_says_so() -> None:
    def start(command: list[str]) -> Process:
        if "/usr/bin/oslat" in command:
            raise PermissionError(13, "Permission denied")
        return Process(command, ANSWER)

    report = measure(Guest(programs=("oslat",)), wanted("0"), start=start)
    assert report.sections[0].text.startswith("cannot be run: ")


@pytest.mark.parametrize("phase", ["looking for idle CPUs", "starting probes", "measuring"])
def test_however_it_ends_no_process_is_left(phase: str) -> None:
    def progress(said: str, done: float) -> None:
        if said == phase and (done or said != "measuring"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(Guest(), wanted("0-3", "2"), progress=progress, start=answering())
    assert all(process.gone for process in Process.all)


def test_when_all_is_well_no_process_is_left_either() -> None:
    measure(Guest(programs=("oslat",)), wanted("0-1"), start=answering())
    assert [process.gone for process in Process.all] == [True] * 3
