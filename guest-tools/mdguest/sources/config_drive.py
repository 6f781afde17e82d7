"""The config drive: a small read-only disk with Nova's document as it was when the guest started.

The drive is mounted in a mount namespace of its own, by a process that only reads the document. So
nobody else sees the mount, and it goes with that process, however this one ends.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.sources.documents import (
    MAX_BYTES,
    META_DATA,
    json_object,
    layout_of,
    read_file,
    shown,
)

if TYPE_CHECKING:
    from mdguest.layout import Layout
    from mdguest.sources.patience import Patience
    from mdguest.system import System

NAME = "config-drive"
FORM = f"{NAME}[:DEVICE]"

_LABELS = ("config-2", "CONFIG-2")
"""The second is what some tools make of the first on vfat."""

_PROBE_SECONDS, _READ_SECONDS = 5.0, 10.0

_SCRIPT = """
options=ro,nosuid,nodev,noexec
[ -b "$1" ] || options=$options,loop
for type in iso9660 vfat; do
    if mount -t $type -o $options -- "$1" /run; then
        [ -f "/run/$2" ] || exit 44
        head -c "$3" "/run/$2" | base64
        exit
    fi
done
exit 1
"""
"""Other types are not tried: a drive has one of these, and the kernel reads it with root's power.
The mount lies over /run because every guest has that; nobody but this script sees it there."""

_NO_DOCUMENT = 44
_WITHOUT = f"{{}}: expected a config drive, got one without {META_DATA}"
_ESCAPED = re.compile(r"\\([0-7]{3})")


def check(argument: str) -> None:
    """Nothing can be wrong with the name of a device."""


def read(argument: str, system: System, patience: Patience) -> Layout:
    """What the drive says. Raises Unreachable where there is none."""
    drive = device(argument, system)
    where, data = document(drive, META_DATA, system)
    if data is None:
        raise BadInput(_WITHOUT.format(drive))
    return layout_of(json_object(data, where), where, f"{NAME}:{drive}")


def device(argument: str, system: System) -> str:
    """The device, image or directory of that name, or without one that with the drive's label."""
    found = argument or _labelled(system)
    if not system.exists(found):
        raise Unreachable(f"{found}: no such device, image or directory")
    return found


def _labelled(system: System) -> str:
    """The device with the config drive's label. udev's links come first: they cost nothing."""
    for label in _LABELS:
        link = f"/dev/disk/by-label/{label}"
        if system.exists(link):
            return link
    for label in _LABELS:  # afresh, as blkid's cache also knows images that somebody looked at
        probe = ("blkid", "-c", "/dev/null", "-t", f"LABEL={label}", "-o", "device")
        found = system.run(*probe, timeout=_PROBE_SECONDS).out.splitlines()
        devices = [device for device in found if device.startswith("/dev/")]
        if devices:
            return devices[0]
    raise Unreachable(f"no device has the label {_LABELS[0]}")


def document(device: str, name: str, system: System) -> tuple[str, bytes | None]:
    """What to call one of the drive's documents in a message, and its text; None: it has none."""
    is_folder = system.exists(f"{device}/.")
    folder = device if is_folder else _mount_point(device, system)
    if folder is None:
        return f"{device}, {name}", _mounted(device, name, system)
    path = f"{folder}/{name}"
    try:
        return path, read_file(system, path)
    except Unavailable:
        raise
    except Unreachable:
        return path, None


def _mount_point(device: str, system: System) -> str | None:
    """Where the device is mounted already, in /proc/self/mounts (fstab(5) has its escapes)."""
    real = os.path.realpath(device)
    try:
        lines = system.read("/proc/self/mounts").splitlines()
    except OSError:
        return None
    for source, point in (line.split(" ")[:2] for line in lines if line.startswith("/")):
        if os.path.realpath(_unescaped(source)) == real:
            return _unescaped(point)
    return None


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def _mounted(device: str, name: str, system: System) -> bytes | None:
    """The document, from a mount of the device that nobody else sees."""
    import binascii

    words = (NAME, device, name, str(MAX_BYTES + 1))
    shell = ("unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, *words)
    done = system.run(*shell, timeout=_READ_SECONDS)
    if done.status == _NO_DOCUMENT:
        return None
    if done.status:
        said = shown(" ".join(done.err.split()), 200)
        raise Unavailable(f"{device} is there, but cannot be read: {said}")
    data = binascii.a2b_base64(done.out)
    if len(data) > MAX_BYTES:
        raise BadInput(f"{device}, {name}: expected at most {MAX_BYTES} bytes")
    return data
