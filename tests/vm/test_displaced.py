"""Who counts on dedicated CPUs some other way, in a real guest: each is told, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.machine import Machine
from tests.vm.tool import PROGRAMS, Guest, until

UNITS = {
    "ovs-vswitchd.service": f"[Service]\nExecStart=/usr/bin/python3 {PROGRAMS}/pinned.py 3\n",
    "vpp.service": "[Service]\nExecStart=/bin/sleep inf\nCPUAffinity=2\n",
    "app-dpdk.slice": "[Slice]\nAllowedCPUs=2-3\n",
    "dpdk.service": "[Service]\nExecStart=/bin/sleep inf\nSlice=app-dpdk.slice\n",
    "whole.service": "[Service]\nExecStart=/bin/sleep inf\nCPUAffinity=0-3\n",
}
SCOPES = {
    "docker-4e1f.scope": "--slice=system.slice -p AllowedCPUs=2",
    "session-7.scope": "--slice=user-1000.slice -p AllowedCPUs=3",
}
EXPECTED = {
    "ovs-vswitchd.service": "3",
    "vpp.service": "2",
    "app-dpdk.slice": "2-3",
    "docker-4e1f.scope": "2",
    "session-7.scope": "3",
}
"""Not whole.service: all CPUs are no choice."""


@pytest.fixture(scope="module")
def guest(suite: str, pyz: bytes) -> Iterator[Guest]:
    """A guest in which several programs have chosen their CPUs."""
    with Machine(suite) as machine:
        guest = Guest(machine, pyz)
        with guest.undone():  # first as it is by itself: nobody is displaced
            guest.apply("2-3")
            assert (guest.problems, guest.displaced) == ([], {})
        for name, text in UNITS.items():
            guest.machine.put(f"/run/systemd/system/{name}", text)
        guest.run("systemctl daemon-reload && systemctl start dpdk vpp whole")
        commands = [
            f"exec systemd-run --quiet --scope --unit={name} {flags} sleep inf"
            for name, flags in SCOPES.items()
        ]
        with guest.spawned(*commands):
            until(lambda: guest.code(f"systemctl is-active {' '.join(SCOPES)}") == 0)
            # last, since Linux before 6.2 forgets affinities where cgroups get cpusets
            guest.run("systemctl start ovs-vswitchd")
            yield guest


def asking(guest: Guest) -> dict[str, str]:
    """Whom the plan names, before anything is changed."""
    return {
        who["unit"]: who["cpus"]
        for who in guest.json("plan --source file:/etc/layout")["displaced"]
    }


def test_each_is_named_before(guest: Guest) -> None:
    guest.layout("2-3")
    until(lambda: asking(guest) == EXPECTED)


def test_the_package_leaves_them_their_cpus(guest: Guest) -> None:
    message = guest.refused("2-3", "--careful")
    assert message.startswith("mdguest: CPU 2-3 is not isolated yet, as programs run there")
    assert "systemctl edit ovs-vswitchd.service: [Service] Slice=dedicated.slice" in message
    assert guest.read("/sys/fs/cgroup/cpuset.cpus.effective") == "0-3"


@pytest.fixture(scope="module")
def isolated(guest: Guest) -> Iterator[Guest]:
    """By hand, over their heads; afterwards everybody has what he had."""
    with guest.undone():
        guest.apply("2-3")
        yield guest


def test_each_is_named_after(isolated: Guest) -> None:
    status = isolated.json("status")
    assert (status["state"], status["problems"]) == ("displaced", [])
    assert isolated.displaced == EXPECTED
    said = isolated.tool("verify", code=3).stdout
    assert all(name in said for name in EXPECTED)
    threads = {who["unit"]: who["threads"] for who in status["displaced"]}
    [thread] = threads["ovs-vswitchd.service"]
    assert thread.startswith(("python3 (", "Thread-1 ("))  # Python 3.14 names its threads


def test_each_is_still_named_when_a_shared_cpu_goes_and_comes(isolated: Guest) -> None:
    for state in "01":
        isolated.run(f"echo {state} > /sys/devices/system/cpu/cpu1/online")
        isolated.apply("2-3")
        until(lambda: isolated.problems == [])  # cpusets learn of it a moment later
        assert isolated.displaced == EXPECTED


def test_what_the_message_says_mends_it(isolated: Guest) -> None:
    folder = "/run/systemd/system/ovs-vswitchd.service.d"
    isolated.machine.put(f"{folder}/slice.conf", "[Service]\nSlice=dedicated.slice\n")
    isolated.run("systemctl daemon-reload && systemctl restart ovs-vswitchd")
    pid = isolated.run("systemctl show -P MainPID ovs-vswitchd")
    threads = f"grep -h Cpus_allowed_list /proc/{pid}/task/*/status"
    until(lambda: isolated.run(threads).split()[1::2] == ["2-3", "3"])
    assert "ovs-vswitchd.service" not in isolated.displaced
    isolated.run(f"rm -r {folder} && systemctl daemon-reload && systemctl stop ovs-vswitchd")


def test_those_who_are_right_so_can_be_left_out(isolated: Guest) -> None:
    patterns = "docker-*,session-*,app-dpdk.slice,vpp.service,ovs-*"
    assert isolated.code(f"MDGUEST_IGNORE='{patterns}' mdguest verify") == 0
