"""Guests that start in other ways: with isolcpus, without systemd, on cgroup v1, with a drive."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.vm.drives import Form, config_drive
from tests.vm.machine import Machine
from tests.vm.tool import Guest, until

Boot = Callable[..., Guest]

BROKEN = ("Oops", "general protection fault", "WARNING:", "BUG:")
"""What a kernel says of itself when it is."""


@pytest.fixture
def boot(suite: str, pyz: bytes) -> Iterator[Boot]:
    """Starts a guest as it is told to."""
    with ExitStack() as stack:

        def it(**options: Any) -> Guest:
            return Guest(stack.enter_context(Machine(suite, **options)), pyz)

        yield it


def test_cpus_that_were_isolated_at_boot(boot: Boot, suite: str) -> None:
    guest = boot(cmdline="isolcpus=2-3 nohz_full=2-3 rcu_nocbs=2-3")
    with guest.undone() as before:
        # without a CPU that the command line leaves alone, Linux 6.1 crashes and 6.12 hangs
        message = guest.refused("0-1")
        assert "CPUs 0-1 cannot be isolated: of the others, 2-3, the kernel command" in message
        assert guest.look().values == before.values
        assert not [word for word in BROKEN if word in guest.run("dmesg")]

        done = guest.apply("2-3")
        assert guest.problems == []
        assert [wish for wish in done["reboot"] if "nohz_full" in wish] == []
        if suite == "trixie":  # Linux 6.12 refuses a partition of just these CPUs
            assert (done["mode"], guest.json("status")["state"]) == ("fence", "degraded")
            assert "the kernel refused a partition" in done["because"]
        else:
            assert (done["mode"], guest.pool(".partition")) == ("partition", "isolated")
        assert not [
            task for task in guest.look().tasks if _strays(task.group, task.may_use({2, 3}))
        ]
        assert not [word for word in BROKEN if word in guest.run("dmesg")]


def _strays(group: str, may: bool) -> bool:
    return may and not group.startswith("/dedicated")


DOCUMENT = "openstack/latest/meta_data.json"


@pytest.mark.parametrize("form", ["iso9660", "vfat", "mdsvc"])
def test_a_config_drive_is_found_and_read(boot: Boot, tmp_path: Path, form: Form) -> None:
    files = {DOCUMENT: json.dumps({"uuid": "x", "dedicated_cpus": [1, 3]}).encode()}
    guest = boot(drives=[config_drive(files, tmp_path / "drive", form)])
    plan = guest.json("plan")
    assert plan["isolated_cpus"] == "1,3"
    assert plan["source"].startswith("config-drive:/dev/")
    assert "config-2" not in guest.read("/proc/mounts")
    assert "/dev/vdb" not in guest.read("/proc/mounts")


def test_a_guest_on_cgroup_v1_is_refused_and_told_why(boot: Boot, suite: str) -> None:
    if suite != "bookworm":
        pytest.skip("its systemd has no cgroup v1")
    guest = boot(cmdline="systemd.unified_cgroup_hierarchy=0")
    before = guest.look()
    message = guest.refused("2-3")
    assert message == (
        "mdguest: /sys/fs/cgroup is not a version 2 hierarchy with the cpuset controller, which "
        "isolation needs; boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 there\n"
    )
    assert guest.look().values == before.values
    assert guest.code("test -e /run/mdguest/journal") == 1


def test_without_systemd_it_makes_a_cgroup_of_its_own(boot: Boot) -> None:
    guest = boot(init="busybox")
    pool = "/sys/fs/cgroup/dedicated"
    with guest.undone():
        assert guest.apply("2-3")["mode"] == "raw"
        assert guest.problems == []
        assert guest.read(f"{pool}/cpuset.cpus.partition") == "isolated"
        assert guest.code("taskset -c 2 true") == 1
        assert not [task for task in guest.look().tasks if task.may_use({2, 3})]

        done = guest.tool("run --cpus 1 -- sh -c 'echo {cpus}; taskset -p $$; exit 5'", code=5)
        assert done.stdout.splitlines()[0] == "2"
        assert done.stdout.endswith(" 4\n")
        with guest.spawned("exec mdguest run --name held -- sleep inf"):
            until(lambda: guest.json("status")["subsets"] == [{"name": "held", "cpus": "2-3"}])
            assert "held holds" in guest.tool("run --cpus 3-3 -- true", code=3).stderr
        until(lambda: guest.json("status")["subsets"] == [])
        guest.apply("1-2")
        assert guest.problems == []
        assert guest.read(f"{pool}/cpuset.cpus.effective") == "1-2"
    assert guest.code(f"test -e {pool}") == 1
