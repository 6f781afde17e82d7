"""Everything of a guest that an ``undo`` has to bring back, as one comparable value."""

from __future__ import annotations

import re

from tests.guest.fake.guest import FakeGuest

OURS = re.compile(r"/(run|var/lib)/mdguest(/|$)|/var(/lib)?$|/run$")
"""What mdguest remembers for itself."""

FOLDERS = ("/run/systemd/system.control", "/run/systemd/transient", "/run/systemd")
"""Folders that systemd made, and leaves."""

MOVING = re.compile(r"/proc/\d+/")
"""Tasks are compared by their affinity, not by their files."""


def snapshot(guest: FakeGuest) -> dict[str, str]:
    """Path, task or unit → value."""
    files = {
        path: guest.read(path)
        for path, node in guest.index.nodes.items()
        if not MOVING.match(path) and "/single/" not in path and path != "/proc/uptime"
    }
    disk = {f"disk {path}": text for path, text in guest.disk.files.items()}
    folders = {f"folder {path}": "" for path in guest.disk.folders if path not in FOLDERS}
    tasks = {
        f"affinity {task.tid} {task.name}": f"{guest.affinity(task.tid)} in {task.group.path}"
        for task in guest.tasks
    }
    bans = {"irqbalance": str(guest.irqbalance.banned)} if guest.irqbalance else {}
    found = {**files, **disk, **folders, **tasks, **bans, **_units(guest)}
    return {name: value for name, value in found.items() if not OURS.search(name.split(" ")[-1])}


def _units(guest: FakeGuest) -> dict[str, str]:
    """A slice that was only named is no change."""
    units = guest.systemd.units.values() if guest.systemd else ()
    return {
        f"unit {unit.name}": f"{unit.active} {unit.allowed} {unit.partition} {unit.fragment}"
        for unit in units
        if unit.active or unit.allowed or unit.partition or unit.fragment
    }


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str, str]]:
    """What differs: name → before, after."""
    missing = "(not there)"
    both = {name: (before.get(name, missing), after.get(name, missing)) for name in before | after}
    return {name: values for name, values in both.items() if values[0] != values[1]}
