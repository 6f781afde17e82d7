"""A testpmd that was pinned by hand, and then the package: it keeps its CPUs, and that is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guest.packaging.building import ROOT, build
from tests.vm.machine import Machine
from tests.vm.test_package import Packaged
from tests.vm.tool import until

TESTPMD = """\
[Service]
ExecStart=/usr/bin/dpdk-testpmd -l 2-3 --no-huge -m 64 --no-pci --no-telemetry \\
    --vdev net_null0 --vdev net_null1 -- --stats-period 1 --total-num-mbufs 2048
"""
MEND = "systemctl edit testpmd.service: [Service] Slice=dedicated.slice"


@pytest.fixture(scope="module")
def guest(suite: str) -> Iterator[Packaged]:
    """A guest that forwards packets on CPUs 2-3, where the package is installed then."""
    with Machine(suite, network=True, memory=768) as machine:
        guest = Packaged(machine)
        machine.put("/etc/systemd/system/testpmd.service", TESTPMD)
        machine.put("/etc/layout", "2-3")
        machine.put("/etc/default/mdguest", "MDGUEST_SOURCE=file:/etc/layout\n")
        machine.put("/var/new.deb", build(ROOT / "dist").deb.read_bytes())
        # A runtime that was never started has Linux 6.1 forget affinities: docs/guest.md.
        guest.run("systemctl mask docker containerd")
        guest.run("systemctl daemon-reload && systemctl start testpmd")
        until(lambda: lcores(guest) == {"2", "3"})
        guest.dpkg("--force-confold --install /var/new.deb")
        yield guest


def lcores(guest: Packaged) -> set[str]:
    """Where its main thread and its worker may run."""
    pid = guest.run("systemctl show -P MainPID testpmd")
    threads = f"grep -lE 'worker|testpmd' /proc/{pid}/task/*/comm | xargs -r dirname"
    found = guest.run(f"for t in $({threads}); do grep -h Cpus_allowed_list $t/status; done")
    return set(found.split()[1::2])


def test_it_keeps_its_cpus(guest: Packaged) -> None:
    assert lcores(guest) == {"2", "3"}
    assert guest.run("cat /sys/fs/cgroup/cpuset.cpus.effective") == "0-3"
    assert guest.run("systemctl is-failed mdguest-network") == "failed"


def test_the_user_is_told_what_to_do(guest: Packaged) -> None:
    said = guest.run("journalctl -o cat -u mdguest-network")
    assert "CPU 2-3 is not isolated yet, as programs run there that would lose it" in said
    assert MEND in said
    assert MEND in guest.run("mdguest plan")


def test_the_watch_does_not_take_them_either(guest: Packaged) -> None:
    guest.run("systemctl restart mdguest-watch")
    until(lambda: "not isolated yet" in guest.run("journalctl -o cat -u mdguest-watch"))
    assert lcores(guest) == {"2", "3"}


def test_what_it_says_mends_it(guest: Packaged) -> None:
    folder = "/etc/systemd/system/testpmd.service.d"
    guest.machine.put(f"{folder}/slice.conf", "[Service]\nSlice=dedicated.slice\n")
    guest.run("systemctl daemon-reload && systemctl stop testpmd")
    guest.run("systemctl restart mdguest-network && systemctl start testpmd")
    until(lambda: lcores(guest) == {"2", "3"})
    assert guest.run("cat /sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition") == "isolated"
    until(lambda: not guest.machine.run("mdguest verify", check=False, timeout=180).code)
