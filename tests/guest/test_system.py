"""The doorway itself, at this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from mdguest.cpuset import CpuSet
from mdguest.system import System


def test_a_visitor_comes_into_the_cgroup_sees_each_cpu_and_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    system = System()
    set_affinity = system.set_affinity

    def noted(task: int, cpus: CpuSet) -> None:
        set_affinity(task, cpus)
        seen.append((task, str(system.affinity(task))))

    monkeypatch.setattr(system, "set_affinity", noted)
    (tmp_path / "cgroup.procs").write_text("")
    here = CpuSet.of(os.sched_getaffinity(0))
    system.visit(str(tmp_path), here)
    child = int((tmp_path / "cgroup.procs").read_text())
    assert seen == [(child, str(cpu)) for cpu in here]
    assert not Path(f"/proc/{child}").exists()


def test_no_visitor_is_left_where_the_cgroup_takes_none(tmp_path: Path) -> None:
    children = Path("/proc/thread-self/children")
    before = children.read_text()
    with pytest.raises(FileNotFoundError):
        System().visit(str(tmp_path), CpuSet.of([0]))
    assert children.read_text() == before


def test_who_listens_and_does_not_answer_is_another_than_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdguest.system.ANSWER_SECONDS", 1)
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as asleep:
        asleep.bind(path)
        with pytest.raises(ConnectionRefusedError):
            System().ask(path, "setup")
        asleep.listen(1)
        for _ in range(4):  # more than it queues
            with pytest.raises(BlockingIOError):
                System().ask(path, "setup")
