"""The modes that fence everything else in, instead of taking CPUs out of its hands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.tool import Guest, until

DEDICATED = {2, 3}
KUBELET = "/run/mdguest/kubelet.conf.d/50-mdguest.conf"


@pytest.fixture(autouse=True)
def undone(guest: Guest) -> Iterator[None]:
    """Each test begins in the same guest, because undo leaves it so."""
    with guest.undone():
        yield


def strays(guest: Guest, *homes: str) -> list[str]:
    """The tasks that may use the dedicated CPUs without being at home there, and could be moved."""
    return [
        f"{task.name} in {task.group}"
        for task in guest.look().tasks
        if DEDICATED & set(task.cpus) and not task.bound and not task.group.startswith(homes)
    ]


def test_a_fence_keeps_all_but_the_pool_off_the_dedicated_cpus(guest: Guest) -> None:
    done = guest.apply("2-3", "--mode fence")
    assert (done["mode"], guest.problems) == ("fence", [])
    assert strays(guest, "/dedicated.slice") == []
    with guest.spawned("exec systemd-run --quiet --scope --slice=dedicated.slice sleep inf") as [
        pid
    ]:
        until(lambda: guest.affinity(pid) == "2-3")


@pytest.mark.parametrize("mode", ["fence", "kubernetes"])
def test_a_slice_that_comes_later_is_fenced_in_by_the_next_apply(guest: Guest, mode: str) -> None:
    guest.apply("2-3", f"--mode {mode}")
    with guest.spawned("exec systemd-run --quiet --scope --slice=later.slice sleep inf") as [pid]:
        until(lambda: "later.slice" in guest.read(f"/proc/{pid}/cgroup"))
        assert guest.affinity(pid) == "0-3"
        assert guest.problems != []
        guest.apply("2-3", f"--mode {mode}")
        assert (guest.problems, guest.affinity(pid)) == ([], "0-1")
    guest.run("systemctl stop later.slice")


def test_watch_fences_in_the_slice_of_a_user_who_comes_later(guest: Guest) -> None:
    guest.apply("2-3", "--mode fence")
    watch = guest.spawn(f"exec mdguest watch {guest.layout('2-3')} --mode fence")
    with guest.spawned("exec systemd-run --quiet --scope --slice=later.slice sleep inf") as [pid]:
        until(lambda: "later.slice" in guest.read(f"/proc/{pid}/cgroup"))
        until(lambda: guest.affinity(pid) == "0-1")
    assert watch.stop() == 0, watch.output
    guest.run("systemctl stop later.slice")


def test_pods_may_use_the_dedicated_cpus_and_nobody_else(guest: Guest) -> None:
    pod = "exec systemd-run --quiet --scope --slice=kubepods-burstable.slice sleep inf"
    with guest.spawned(pod) as [pid]:
        until(lambda: "kubepods" in guest.read(f"/proc/{pid}/cgroup"))
        done = guest.apply("2-3")
        assert (done["mode"], done["because"]) == ("kubernetes", "kubepods.slice is here")
        assert guest.problems == []
        assert guest.affinity(pid) == "0-3"
        assert guest.code(f"taskset -cp 3 {pid}") == 0
        assert strays(guest, "/kubepods.slice") == []
        assert 'reservedSystemCPUs: "0-1"' in guest.read(KUBELET)
    guest.run("systemctl stop kubepods.slice")
