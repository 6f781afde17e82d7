"""A data plane in a slice of its own, beside pods and beside the pool."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.tool import Guest, until

OVS, KUBELET = "/run/systemd/system/ovs.service", "/run/systemd/system/kubelet.service"
POLLS = "[Service]\nSlice=ovs.slice\nExecStart=/usr/bin/taskset -c 1 /bin/sleep inf\n"
SERVICE = "[Service]\nExecStart=/bin/sleep inf\n"
EXEMPT = "--exempt ovs.slice=1"
PARTITION = "/sys/fs/cgroup/ovs.slice/cpuset.cpus.partition"

CLEAN = f"""
for unit in ovs kubelet kubepods.slice ovs.slice; do systemctl stop $unit; done
rm -f {OVS} {KUBELET}
systemctl daemon-reload
systemctl reset-failed
"""


@pytest.fixture(autouse=True)
def undone(guest: Guest) -> Iterator[None]:
    """Each test begins in the same guest."""
    with guest.undone():
        yield
        guest.tool("undo")
        guest.run(CLEAN, check=False)


def polling(guest: Guest) -> int:
    """Have the data plane run; its process."""
    guest.machine.put(OVS, POLLS)
    guest.run("systemctl daemon-reload && systemctl start ovs")
    return int(guest.run("systemctl show --value --property MainPID ovs"))


def test_it_keeps_its_cpu_beside_pods(guest: Guest) -> None:
    """It pins itself once there are cpusets: Linux 6.1 forgets affinities as they come."""
    guest.machine.put(KUBELET, SERVICE)
    guest.run("systemctl daemon-reload && systemctl start kubelet")
    with guest.spawned(
        "exec systemd-run --quiet --scope --slice=kubepods-pod1.slice -p AllowedCPUs=0-3 sleep inf"
    ) as [pod]:
        until(lambda: "kubepods" in guest.read(f"/proc/{pod}/cgroup"))
        pid = polling(guest)
        until(lambda: guest.affinity(pid) == "1")
        assert guest.apply("1-3", EXEMPT)["mode"] == "kubernetes"
        assert (guest.problems, guest.displaced) == ([], {})
        assert (guest.affinity(pid), guest.affinity(1)) == ("1", "0")
        until(lambda: guest.affinity(pod) == "0,2-3")
        guest.run("systemctl daemon-reload; systemctl daemon-reexec")
        assert (guest.affinity(pid), guest.problems) == ("1", [])
    assert 'reservedSystemCPUs: "0-1"' in guest.tool("render kubelet").stdout
    guest.tool("undo")
    assert guest.affinity(pid) == "1"
    assert guest.code(f"taskset -cp 0-3 {pid}") == 0
    assert guest.affinity(pid) == "0-3"


def test_it_comes_later_to_a_partition_of_its_own(guest: Guest) -> None:
    guest.apply("1-3", EXEMPT)
    assert guest.problems == []
    assert (guest.read(PARTITION), guest.pool(".effective")) == ("root", "2-3")
    assert guest.code("taskset -c 1 true") == 1
    pid = polling(guest)
    until(lambda: guest.affinity(pid) == "1")
    with guest.spawned("exec mdguest run --name forwarder -- sleep inf") as [forwarder]:
        until(lambda: guest.affinity(forwarder) == "2-3")
        assert (guest.problems, guest.displaced) == ([], {})
    guest.run("systemctl daemon-reload; systemctl restart ovs")
    pid = int(guest.run("systemctl show --value --property MainPID ovs"))
    until(lambda: guest.affinity(pid) == "1")
    assert guest.problems == []
    until(lambda: guest.json("status")["subsets"] == [])
    guest.apply("1-3", "--exempt ovs.slice=2-3")
    assert (guest.read(PARTITION), guest.pool(".effective")) == ("root", "1")
    assert guest.problems == []


def test_a_layout_that_takes_its_cpu_away_is_named(guest: Guest) -> None:
    polling(guest)
    guest.apply("1-3", EXEMPT)
    warned = guest.tool(f"apply {guest.layout('2-3')} {EXEMPT}").stderr
    expected = "ovs.slice: no CPU of its own, expected CPU 1: CPU 1: the layout does not dedicate"
    assert expected in warned
    assert guest.problems == ["ovs.slice"]
    wrong = guest.tool(f"plan {guest.layout('2-3')} --exempt ovs.slice=0-1", code=2).stderr
    assert "--exempt: ovs.slice=0-1: CPU 0-1 is not dedicated" in wrong
    guest.apply("1-3", EXEMPT)
    assert guest.problems == []
