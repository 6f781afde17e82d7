"""AllowedCPUs= below /etc is named at apply: it comes back at each daemon-reload."""

from __future__ import annotations

import pytest

from tests.guest.fake import FakeGuest, guest
from tests.guest.use import isolate, plan

CONTROL = "/etc/systemd/system.control/system.slice.d/50-AllowedCPUs.conf"
UNIT = "/etc/systemd/system/user.slice.d/cpus.conf"


def with_file(path: str, text: str) -> FakeGuest:
    machine = guest("6.1")
    machine.save(path, text)
    return machine


def notes(machine: FakeGuest) -> list[str]:
    return [note for note in plan(machine, "2-3").notes if "daemon-reload" in note]


def test_what_set_property_keeps_is_named_with_the_line_that_mends_it() -> None:
    machine = with_file(CONTROL, "[Slice]\nAllowedCPUs=\nAllowedCPUs=0-3\n")
    assert notes(machine) == [
        f"system.slice has CPU 2-3 by {CONTROL}, which comes back at each systemctl "
        "daemon-reload; to mend it: systemctl set-property system.slice AllowedCPUs=0-1"
    ]
    assert notes(machine)[0] in isolate(machine, "2-3").plan.notes


def test_what_is_written_by_hand_is_mended_in_its_file() -> None:
    [note] = notes(with_file(UNIT, "[Slice]\nAllowedCPUs=1 3\n"))
    assert note.endswith(f"to mend it: AllowedCPUs=1 in {UNIT}; systemctl daemon-reload")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (CONTROL, "[Slice]\nAllowedCPUs=0-1\n"),
        (CONTROL, "[Slice]\nAllowedCPUs=2\nAllowedCPUs=\n"),
        (CONTROL, "[Slice]\n# AllowedCPUs=2\nAllowedCPUs=x\n"),
        (CONTROL.replace("/etc", "/run"), "[Slice]\nAllowedCPUs=2\n"),
        (CONTROL.replace("system.slice", "dedicated.slice"), "[Slice]\nAllowedCPUs=2\n"),
    ],
    ids=["other CPUs", "taken back", "no CPU list", "until the next boot", "the pool's own"],
)
def test_nobody_else_is_named(path: str, text: str) -> None:
    assert notes(with_file(path, text)) == []
