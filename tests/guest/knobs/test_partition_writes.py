"""The partition's file is written only where it reads wrong: through ``member`` tasks get in."""

from __future__ import annotations

from typing import Any

import pytest
from mdguest import control, knobs
from mdguest.facts import Knob
from mdguest.settings import Settings

from tests.guest.fake import FakeGuest
from tests.guest.fake import guest as new_guest
from tests.guest.use import isolate, undo

KERNELS = ("6.1", "6.12", "7.2")
PARTITION = "/sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to partitions' files."""
    texts: list[str] = []
    write = FakeGuest.write

    def recorded(self: FakeGuest, path: str, text: str) -> None:
        if path.endswith("cpuset.cpus.partition"):
            texts.append(text)
        write(self, path, text)

    monkeypatch.setattr(FakeGuest, "write", recorded)
    return texts


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("settings", [{}, {"partition": "root"}], ids=["isolated", "root"])
def test_a_second_apply_leaves_a_partition_that_is_right_alone(
    kernel: str, settings: dict[str, Any], written: list[str]
) -> None:
    machine = new_guest(kernel)
    isolate(machine, "2-3", **settings)
    assert "member" not in written
    written.clear()
    isolate(machine, "2-3", **settings)
    assert written == []


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_pool_that_grows_or_shrinks_does_not_go_through_member(
    kernel: str, written: list[str]
) -> None:
    machine = new_guest(kernel)
    isolate(machine, "2-3")
    isolate(machine, "3")
    isolate(machine, "1-3")
    assert "member" not in written


@pytest.mark.parametrize("kernel", KERNELS)
def test_healing_something_else_leaves_it_alone(
    kernel: str, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = new_guest(kernel)
    isolate(machine, "2-3")
    written.clear()
    machine.write("/proc/irq/default_smp_affinity", "f")
    healing = control.heal(machine, Settings(), lambda _: None)
    assert healing.outcome is not None
    assert healing.outcome.done
    assert written == []


def test_one_that_has_become_right_since_the_plan_was_made_is_left_alone(
    written: list[str],
) -> None:
    machine = new_guest("6.1")
    isolate(machine, "2-3")
    written.clear()
    knobs.write(machine, Knob("partition", PARTITION), "isolated")
    assert written == []
    undo(machine)
    assert written == ["member"]
