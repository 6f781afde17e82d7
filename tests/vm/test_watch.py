"""mdguest watch in a real guest, that asks a real metadata server."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import pytest

from tests.vm.machine import Background, Machine
from tests.vm.metadata import Server
from tests.vm.tool import Guest, until

POOL = "/sys/fs/cgroup/dedicated.slice/cpuset.cpus"
NEVER = 86400
"""Seconds; with such an interval whatever is noticed has been waited for."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A metadata server."""
    with Server(tmp_path_factory.mktemp("server"), "2-3") as server:
        yield server


@pytest.fixture(scope="module")
def guest(suite: str, pyz: bytes, server: Server) -> Iterator[Guest]:
    """A guest that finds this server where guests look for theirs; all is undone in the end."""
    with Machine(suite, metadata_port=server.port) as machine:
        guest = Guest(machine, pyz)
        with guest.undone():
            yield guest


@contextlib.contextmanager
def watching(guest: Guest, interval: int = NEVER) -> Iterator[Background]:
    """The service, until it is told to end."""
    running = guest.spawn(f"exec mdguest watch --interval {interval}")
    try:
        yield running
    finally:
        print(f"watch said:\n{running.output}")  # shown where a test fails
        assert running.stop() == 0, running.output


@pytest.fixture
def watch(guest: Guest, server: Server) -> Iterator[Background]:
    """The service, at work: CPUs 2-3 are isolated."""
    server.change("2-3")
    with watching(guest) as running:
        isolated(guest, "2-3")
        yield running


def isolated(guest: Guest, cpus: str) -> None:
    """Wait until these CPUs are, and then nothing is wrong."""

    def is_so() -> bool:
        with contextlib.suppress(AssertionError):  # the pool may not be there yet
            return (guest.pool(".partition"), guest.pool(".effective")) == ("isolated", cpus)
        return False

    until(is_so)
    until(lambda: not guest.problems)


def test_a_new_layout_is_applied_when_the_server_has_it(
    guest: Guest, server: Server, watch: Background
) -> None:
    for cpus in ("1-3", "3"):
        start = time.monotonic()
        server.change(cpus)
        until(lambda: f"layout: CPU {cpus} dedicated" in watch.output)  # noqa: B023  # at once
        print(f"{cpus} heard of after {time.monotonic() - start:.1f} s")
        isolated(guest, cpus)
    assert guest.json("status")["source"] == "metadata:http://169.254.169.254"


DRIFT = {
    "a sibling claims its CPUs": (
        "systemctl start hostile.slice && systemctl set-property --runtime hostile.slice "
        "AllowedCPUs=0-3",
        "systemctl stop hostile.slice; systemctl revert hostile.slice",
    ),
    "the partition is turned off": (f"echo member > {POOL}.partition", ""),
    "an interrupt is moved in": (
        "echo 2 > /proc/irq/$(cat /tmp/movable)/smp_affinity_list",
        "",
    ),
    "a CPU goes offline and comes back": (
        "cd /sys/devices/system/cpu/cpu3; echo 0 > online; sleep 1; echo 1 > online",
        "",
    ),
    "all its CPUs go offline and come back": (
        "cd /sys/devices/system/cpu; for state in 0 1; do echo $state > cpu2/online;"
        " echo $state > cpu3/online; done",
        "",
    ),
    "a kernel thread is born": (  # psimon: Linux Documentation/accounting/psi.rst
        'python3 -c \'import time; file = open("/proc/pressure/cpu", "r+b", 0);'
        ' file.write(b"some 150000 2000000 "); time.sleep(1000)\' >/dev/null 2>&1 &',
        "pkill -f '[p]ressure'",
    ),
    "work of the kernel's is let in": (
        "echo f > /sys/devices/virtual/workqueue/cpumask; echo f > /proc/irq/default_smp_affinity",
        "",
    ),
}


SIGNS = {"a kernel thread is born": "(psimon): 0-3 → 0-1"}
"""Of what is put right without an alarm: what is said."""


@pytest.mark.parametrize("what", DRIFT)
def test_it_is_healed_that(guest: Guest, suite: str, watch: Background, what: str) -> None:
    drift, afterwards = DRIFT[what]
    immovable = guest.json("status")["immovable_irqs"]
    irqs = guest.run("cd /proc/irq; ls -d [1-9]*/virtio*").split()
    movable = [irq.split("/")[0] for irq in irqs if irq.split("/")[0] not in immovable]
    guest.machine.put("/tmp/movable", movable[0])
    start = time.monotonic()
    guest.run(drift)
    sign = SIGNS.get(what, "healing")
    if (suite, what) != ("sid", "a kernel thread is born"):  # Linux 7 keeps them off by itself
        until(lambda: sign in watch.output)
        print(f"noticed after {time.monotonic() - start:.1f} s: {watch.output.splitlines()[-1]}")
    isolated(guest, "2-3")
    guest.run(afterwards)


def test_without_its_server_it_says_stale_and_stays_isolated(guest: Guest, server: Server) -> None:
    server.change("2-3")
    with watching(guest, interval=15):
        isolated(guest, "2-3")
        server.stop()
        status = until(lambda: _stale(guest, True))
        assert (status["state"], status["isolated_cpus"]) == ("isolated", "2-3")
        server.change("1-2")
        server.start()
        isolated(guest, "1-2")
        until(lambda: _stale(guest, False))


def _stale(guest: Guest, stale: bool) -> dict[str, str]:
    status: dict[str, str] = guest.json("status")
    return status if bool(status["stale"]) == stale else {}


def test_told_to_end_it_leaves_all_isolated(guest: Guest, watch: Background) -> None:
    assert watch.stop(signal.SIGTERM) == 0
    assert watch.output.endswith("mdguest: ended\n")
    isolated(guest, "2-3")


def test_a_guest_that_loses_its_dedicated_cpus_is_put_back(
    guest: Guest, server: Server, watch: Background
) -> None:
    server.change("")
    until(lambda: guest.json("status")["state"] == "off")
    assert guest.read("/proc/irq/default_smp_affinity") == "f"


def test_what_was_undone_by_hand_stays_undone_until_the_layout_changes(
    guest: Guest, server: Server, watch: Background
) -> None:
    guest.tool("undo")
    said = watch.output
    time.sleep(12)  # two looks
    assert guest.json("status")["state"] == "off"
    assert watch.output == said
    server.change("1-3")
    isolated(guest, "1-3")
