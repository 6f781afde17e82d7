"""The EC2 metadata tree: a table of leaves, from which the listings are derived.

What Nova serves (``nova.api.metadata.base``), and ``cpu/`` for guests with dedicated vCPUs. What
was stored before names had to be one line is shown as one (R29).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from mdsvc.documents.answer import Answer, Path, listing, text
from mdsvc.instance import KeyPair, PlacedInstance, content_bytes
from mdsvc.names import listed_key_name, one_line
from mdsvc.versions import Options

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
)
LISTED = (*VERSIONS, "latest")

Leaves = Mapping[str, str]


class _Entry(NamedTuple):
    """Leaves that appear with a version. A path that ends in ``/`` is a folder of them."""

    path: str
    since: str
    render: Callable[[PlacedInstance], str | Leaves]


def _ipv4(guest: PlacedInstance, floating: bool) -> str:
    """The first such IPv4 address; empty where there is none."""
    for address in guest.addresses:
        if address.floating is floating and ipaddress.ip_address(address.ip).version == 4:
            return address.ip
    return ""


def _ssh_keys(guest: PlacedInstance) -> list[KeyPair]:
    """Numbered as they stand here. An x509 certificate is no key that a guest could allow in."""
    return [pair for pair in guest.key_pairs if pair.type == "ssh"]


def _public_keys(guest: PlacedInstance) -> Leaves:
    return {
        f"{number}/openssh-key": pair.public_key for number, pair in enumerate(_ssh_keys(guest))
    }


def _mappings(guest: PlacedInstance) -> Leaves:
    """Where the root disk is; further disks are in ``devices`` of the OpenStack metadata."""
    root = one_line(guest.root_device_name)
    return {"ami": root.removeprefix("/dev/"), "root": root}


def _cpu(guest: PlacedInstance) -> Leaves:
    """Which vCPUs the guest has to itself, in the list form, and since which change."""
    if not guest.layout.dedicated_cpus:
        return {}
    return {
        "dedicated": str(guest.layout.dedicated_cpus),
        "generation": str(guest.generation),
        "shared": str(guest.layout.shared_cpus),
    }


def _availability_zone(guest: PlacedInstance) -> str:
    return one_line(guest.availability_zone or "")


def _security_groups(guest: PlacedInstance) -> str:
    return "\n".join(map(one_line, guest.security_groups))


_TABLE = (
    _Entry("ami-id", "1.0", lambda guest: f"ami-{one_line(guest.image.id[:8]) or '00000000'}"),
    _Entry("ami-launch-index", "1.0", lambda guest: str(guest.launch_index)),
    _Entry("ami-manifest-path", "1.0", lambda _guest: "FIXME"),  # Nova's word for "none"
    _Entry("cpu/", "1.0", _cpu),
    _Entry("hostname", "1.0", lambda guest: guest.hostname or ""),
    _Entry("instance-id", "1.0", lambda guest: f"i-{guest.uuid.replace('-', '')[:17]}"),
    _Entry("local-ipv4", "1.0", lambda guest: _ipv4(guest, floating=False)),
    _Entry("public-keys/", "1.0", _public_keys),
    _Entry("reservation-id", "1.0", lambda guest: one_line(guest.reservation_id or "")),
    _Entry("security-groups", "1.0", _security_groups),
    _Entry("local-hostname", "2007-01-19", lambda guest: guest.hostname or ""),
    _Entry("public-hostname", "2007-01-19", lambda guest: guest.hostname or ""),
    _Entry("public-ipv4", "2007-01-19", lambda guest: _ipv4(guest, floating=True)),
    _Entry("instance-type", "2007-08-29", lambda guest: one_line(guest.flavor.name)),
    _Entry("block-device-mapping/", "2007-12-15", _mappings),
    _Entry("placement/availability-zone", "2008-02-01", _availability_zone),
    _Entry("instance-action", "2008-09-01", lambda _guest: "none"),
)


def find(guest: PlacedInstance, path: Path, options: Options) -> Answer | None:
    """The document at a path of the tree; None where there is none."""
    if not path:
        return listing(LISTED)
    body = _below_version(guest, path[0], path[1:])
    return None if body is None else text(body)


def tree(guest: PlacedInstance, version: str) -> Mapping[str, bytes]:
    """Every leaf of a version, by its path below it."""
    return dict(_leaves(guest, version, ""))


def _below_version(guest: PlacedInstance, version: str, path: Path) -> bytes | None:
    """The leaf or listing at a path below a version."""
    if version not in LISTED:
        return None
    name = "/".join(path)
    leaves = dict(_leaves(guest, version, name))
    if name in leaves:
        return leaves[name]
    below = [leaf[len(name) + 1 if name else 0 :] for leaf in leaves if _is_at(leaf, name)]
    return _listing(guest, name, below) if below else None


def _is_at(path: str, folder: str) -> bool:
    """Whether it is that folder, or below it."""
    return not folder or path == folder or path.startswith(folder + "/")


def _leaves(guest: PlacedInstance, version: str, name: str) -> Iterator[tuple[str, bytes]]:
    """Those at a name, below it and around it; no others are worked out."""
    if guest.user_data is not None:
        yield "user-data", content_bytes(guest.user_data)
    for place, entry in _OF_VERSION[version].items():
        if _is_at(place, name) or _is_at(name, place):
            value = entry.render(guest)
            leaves = {"": value} if isinstance(value, str) else value
            for below, leaf in leaves.items():
                yield f"meta-data/{entry.path}{below}", leaf.encode()


def _of_version(version: str) -> Mapping[str, _Entry]:
    """By leaf or folder."""
    number = VERSIONS.index(VERSIONS[-1] if version == "latest" else version)
    entries = [each for each in _TABLE if VERSIONS.index(each.since) <= number]
    return {f"meta-data/{entry.path.removesuffix('/')}": entry for entry in entries}


_OF_VERSION: Mapping[str, Mapping[str, _Entry]] = {each: _of_version(each) for each in LISTED}


def _listing(guest: PlacedInstance, folder: str, below: list[str]) -> bytes:
    """Folders end in ``/``, but keys are listed as ``0=name``, as in EC2."""
    if folder == "meta-data/public-keys":
        pairs = enumerate(_ssh_keys(guest))
        names = [f"{number}={listed_key_name(pair.name, number)}" for number, pair in pairs]
    else:
        names = sorted({name.partition("/")[0] + "/" * ("/" in name) for name in below})
    return "\n".join(names).encode()
