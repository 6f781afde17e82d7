"""Which CPU each busy thread of a program gets, and how it gets there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest
from mdguest.cpuset import CpuSet
from mdguest.pool.pinning import Busy, Tie, move, moves, untie_heirs
from mdguest.system import System
from typing_extensions import override

GROUP = "/group"
SECOND = os.sysconf("SC_CLK_TCK")


def cpus(text: str) -> CpuSet:
    return CpuSet.parse(text)


def busy(tid: int, cpu: int, allowed: str) -> Busy:
    return Busy(tid, cpu, cpus(allowed))


def test_a_busy_thread_that_shares_its_cpu_moves_to_one_that_has_less_to_do() -> None:
    threads = [busy(10, 2, "2-4"), busy(11, 2, "2-4"), busy(12, 2, "2-4")]
    assert moves(threads, cpus("2-4")) == {10: 3, 11: 4}


def test_threads_that_have_a_cpu_each_stay_where_they_are() -> None:
    threads = [busy(10, 2, "2-3"), busy(11, 3, "2-3"), busy(12, 3, "2-3")]
    assert moves(threads, cpus("2-3")) == {}


def test_a_thread_that_chose_its_cpus_is_left_alone_and_counts() -> None:
    threads = [busy(10, 2, "2"), busy(11, 2, "2-3"), busy(12, 2, "2")]
    assert moves(threads, cpus("2-3")) == {11: 3}


# ---- what is born while a thread is tied: real threads, of this very process ----


class Watched(System):
    """This machine, whose cgroup is this process's threads."""

    def __init__(self) -> None:
        self.when_tied: Callable[[], object] = lambda: None

    @override
    def read(self, path: str) -> str:
        if path == f"{GROUP}/cgroup.threads":
            return "\n".join(os.listdir("/proc/self/task"))  # noqa: PTH208  # names
        return super().read(path)

    @override
    def set_affinity(self, task: int, cpus: CpuSet) -> None:
        super().set_affinity(task, cpus)
        if len(cpus) == 1:
            self.when_tied()


class Thread:
    """A thread that waits, and starts others when told; they inherit the CPUs it is allowed."""

    def __init__(self) -> None:
        self._orders: list[Thread] = []
        self._ordered, self._done, self._end = (threading.Semaphore(0) for _ in range(3))
        self._thread = threading.Thread(target=self._live)
        self._thread.start()
        self.tid = self._thread.native_id or 0

    def _live(self) -> None:
        while True:
            self._ordered.acquire()
            if self._end.acquire(blocking=False):
                return
            self._orders.append(Thread())
            self._done.release()

    def start_another(self) -> Thread:
        self._ordered.release()
        self._done.acquire()
        return self._orders[-1]

    def end(self) -> None:
        for heir in self._orders:
            heir.end()
        self._end.release()
        self._ordered.release()
        self._thread.join()


@pytest.fixture
def parent() -> Iterator[Thread]:
    thread = Thread()
    yield thread
    thread.end()


@pytest.fixture
def system() -> Watched:
    return Watched()


def test_a_thread_is_moved_and_not_tied(system: Watched, parent: Thread) -> None:
    free = system.affinity(parent.tid)
    assert len(free) > 1, "to move a thread takes two CPUs"
    move(system, parent.tid, min(free))
    assert system.affinity(parent.tid) == free


def test_what_a_thread_starts_while_it_is_tied_is_untied(system: Watched, parent: Thread) -> None:
    free = system.affinity(parent.tid)
    heirs: list[Thread] = []
    system.when_tied = lambda: heirs.append(parent.start_another())
    tie = move(system, parent.tid, min(free))
    system.when_tied = lambda: None
    [heir] = heirs
    heirs.append(heir.start_another())
    assert [system.affinity(thread.tid) for thread in heirs] == [cpus(str(min(free)))] * 2
    ties = untie_heirs(system, GROUP, [tie])
    assert ties, "the heirs may have heirs"
    late = untie_heirs(system, GROUP, ties)
    assert [system.affinity(thread.tid) for thread in heirs] == [free, free]
    assert untie_heirs(system, GROUP, late) == []


def test_a_thread_that_chose_its_cpu_at_another_time_keeps_it(
    system: Watched, parent: Thread
) -> None:
    cpu = min(system.affinity(parent.tid))
    tie = move(system, parent.tid, cpu)
    system.set_affinity(parent.tid, cpus(str(cpu)))
    for away in (-2 * SECOND, 2 * SECOND):
        other = Tie(cpu, tie.start + away, tie.end + away)
        assert untie_heirs(system, GROUP, [other]) == []
        assert system.affinity(parent.tid) == cpus(str(cpu))
