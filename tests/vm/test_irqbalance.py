"""A real irqbalance beside the isolation: it is told, obeys, and is not fought over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.vm.machine import Background
from tests.vm.snapshot import differences
from tests.vm.tool import JOURNAL, Guest, until

WATCHED_SECONDS = float(os.environ.get("MDGUEST_WATCH_SECONDS", "45"))
"""How long nothing may be healed; ``make test-vm`` takes ten minutes."""
WORK = "dd if=/dev/zero of=/srv/file bs=64k count=100 conv=fsync; echo x >/dev/ttyS0"
SOCKET = "ls /run/irqbalance/irqbalance*.sock"


@pytest.fixture(scope="module")
def balanced(guest: Guest) -> Iterator[Guest]:
    """A guest whose irqbalance has run for a while; in the end it has its own way again."""
    guest.run("systemctl start irqbalance")
    until(lambda: guest.code(SOCKET) == 0)
    before = guest.look()
    guest.apply("2-3")
    yield guest
    until(lambda: is_undone(guest))
    assert banned(guest) == "0"
    left = differences(before, guest.look())
    assert not [line for line in left if not line.startswith("/proc/irq/")], left


def is_undone(guest: Guest) -> bool:
    """It acts at its next scan, and the journal is kept until an undo has seen that. Where it puts
    the interrupts after that is its own affair.
    """
    guest.tool("undo")
    return guest.code(f"test -e {JOURNAL}") == 1


def banned(guest: Guest) -> str:
    """What irqbalance keeps off, as a mask, by its own account."""
    ask = (
        "import socket, glob, struct, os; s = socket.socket(socket.AF_UNIX);"
        " s.connect(glob.glob('/run/irqbalance/irqbalance*.sock')[0]);"
        " s.sendmsg([b'setup'], [(1, 2, struct.pack('3i', os.getpid(), 0, 0))]);"
        " s.shutdown(1); print(s.makefile().read().partition('BANNED ')[2])"
    )
    return guest.run(f'python3 -c "{ask}"').strip("\0 ").lstrip("0,") or "0"


def lines(guest: Guest) -> set[str]:
    """Where the interrupts that can be moved may come."""
    immovable = guest.json("status")["immovable_irqs"]
    command = "grep -H . /proc/irq/*/smp_affinity_list"
    rows = (line.rpartition(":") for line in guest.run(command).splitlines())
    named = guest.run("ls -d /proc/irq/*/*/").split()
    listened = {path.split("/")[3] for path in named} - immovable.keys()
    return {cpus for path, _, cpus in rows if path.split("/")[3] in listened}


def test_it_is_told_all_the_dedicated_cpus(balanced: Guest) -> None:
    until(lambda: banned(balanced) == "c")
    until(lambda: balanced.problems == [])


@pytest.fixture(scope="module")
def watched(balanced: Guest) -> Background:
    """The service, over a guest at work, for as long as said; it has ended."""
    watch = balanced.spawn("exec mdguest watch --source file:/etc/layout")
    deadline = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < deadline:
        balanced.run(WORK)
        time.sleep(1)
    assert watch.stop() == 0
    return watch


def test_it_is_never_healed_against(watched: Background, balanced: Guest) -> None:
    assert "healing" not in watched.output
    assert "warning" not in watched.output
    assert balanced.problems == []


def test_no_interrupt_has_come_back(watched: Background, balanced: Guest) -> None:
    assert lines(balanced) <= {"0", "1", "0-1"}


def test_one_that_is_started_anew_is_told_again(watched: Background, balanced: Guest) -> None:
    balanced.run("systemctl restart irqbalance")
    until(lambda: balanced.code(SOCKET) == 0)
    balanced.apply("2-3")
    until(lambda: banned(balanced) == "c")
    until(lambda: balanced.problems == [])
