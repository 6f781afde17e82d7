"""2016-06-30 (Newton): ``devices``, the tagged network interfaces and disks."""

from collections.abc import Iterator
from typing import Any

from mdsvc.instance import Disk, Nic
from mdsvc.versions.version import ABSENT, Version, View


def _devices(view: View) -> list[dict[str, Any]]:
    return list(_shown(view))


def _shown(view: View) -> Iterator[dict[str, Any]]:
    """As Nova shows them: an interface that this version has nothing to say of is left out."""
    for device in view.guest.devices:
        if type(device) not in view.version.devices:
            continue
        table = view.version.devices[type(device)]
        values = {name: value(device) for name, value in table.items()}
        shown = {name: value for name, value in values.items() if value is not ABSENT}
        if type(device) is Nic and not shown.keys() & {"tags", "vlan", "vf_trusted"}:
            continue
        yield shown


def _tags(device: Nic | Disk) -> object:
    return ABSENT if device.tags is None else device.tags


def _or_absent(value: object) -> object:
    return ABSENT if value is None else value


COMMON = {
    "bus": lambda device: device.bus,
    "address": lambda device: device.address,
    "tags": _tags,
}

VERSION = Version(
    "2016-06-30",
    fields={"devices": _devices},
    devices={
        Nic: {"type": lambda _nic: "nic", "mac": lambda nic: nic.mac, **COMMON},
        Disk: {
            "type": lambda _disk: "disk",
            "serial": lambda disk: _or_absent(disk.serial),
            "path": lambda disk: _or_absent(disk.path),
            **COMMON,
        },
    },
)
