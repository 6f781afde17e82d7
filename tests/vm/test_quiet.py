"""The service over an ordinary guest, and a busy one: nothing to heal, and nobody to warn of."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.vm.machine import Background, Machine
from tests.vm.tool import LAYOUT, Guest, until

SECONDS = float(os.environ.get("MDGUEST_WATCH_SECONDS", "12"))
"""How long each; ``make test-vm`` takes ten minutes."""
BOX = "/var/box"
MAKE_BOX = f"""
set -e
mkdir -p {BOX}/bin {BOX}/dev {BOX}/etc {BOX}/proc {BOX}/run {BOX}/sys {BOX}/tmp {BOX}/usr
cp /bin/busybox {BOX}/bin/
ln -s busybox {BOX}/bin/sh
"""
SCOPE = "systemd-run --quiet --scope"
WORK = {
    "the disk": "dd if=/dev/zero of=/var/file bs=64k count=50 conv=fsync status=none; sync",
    "many processes": "for i in $(seq 40); do (:); sh -c :; done",
    "short services": "systemd-run --quiet --wait true; systemd-run --quiet --scope true",
    "a user's session": f"{SCOPE} --uid=1000 --slice=user-1000.slice sleep 1",
    "a container": f"systemd-nspawn --quiet --directory={BOX} --machine=box --pipe /bin/sh -c :",
    "a device that comes and goes": "ip link add noise type veth; ip link set noise up;"
    " ip link delete noise",
    "others' choices of shared CPUs": "taskset -c 0 sleep 1; taskset -c 0-1 sleep 1",
    "a choice that is none": "taskset -c 0-3 sleep 1",
    "a service that is limited": f"{SCOPE} --slice=limited.slice -p AllowedCPUs=0 sleep 1",
    "systemd's own work": "systemctl daemon-reload",
}
"""What a guest does that means nothing; each again and again."""
LOOP = "until test -e /run/enough; do {}; done"


@pytest.fixture(scope="module")
def guest(suite: str, pyz: bytes) -> Iterator[Guest]:
    with Machine(suite, network=True, memory=768) as machine:
        guest = Guest(machine, pyz)
        guest.run(MAKE_BOX)
        guest.run("systemctl start machine.slice")  # which the first container would, and it stays
        yield guest


@pytest.fixture(scope="module")
def isolated(guest: Guest) -> Iterator[Guest]:
    """Its irqbalance is started after the first look and stopped before the last: what it makes of
    the interrupts is put back, too.
    """
    with guest.undone():
        guest.apply("2-3")
        guest.run("systemctl start irqbalance")
        until(lambda: guest.code("ls /run/irqbalance/irqbalance*.sock") == 0)
        guest.apply("2-3")
        yield guest
        guest.run("systemctl stop irqbalance")


@pytest.fixture
def watch(isolated: Guest) -> Iterator[Background]:
    """The service, at work."""
    running = isolated.spawn(f"exec mdguest watch --source file:{LAYOUT} --interval 15")
    until(lambda: isolated.code("pgrep -f '[m]dguest watch'") == 0)
    yield running
    assert running.stop() == 0, running.output


def assert_quiet(guest: Guest, watch: Background) -> None:
    assert (guest.problems, guest.displaced) == ([], {})
    assert "healing" not in watch.output
    assert "warning" not in watch.output
    assert guest.pool(".partition") == "isolated"


def test_an_ordinary_guest_raises_no_alarm(isolated: Guest, watch: Background) -> None:
    time.sleep(SECONDS)
    assert_quiet(isolated, watch)


def test_a_busy_guest_raises_no_alarm(isolated: Guest, watch: Background) -> None:
    deadline = time.monotonic() + SECONDS
    works = list(WORK.values())
    loops = [isolated.spawn(LOOP.format("; ".join(works[start::2]))) for start in (0, 1)]
    while time.monotonic() < deadline:
        time.sleep(1)
    assert_quiet(isolated, watch)
    isolated.run("touch /run/enough")
    assert [loop.wait() for loop in loops] == [0, 0]
    isolated.run("systemctl stop limited.slice user-1000.slice; systemctl revert limited.slice")
