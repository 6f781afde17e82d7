"""The addresses that a libvirt network keeps for guests: `virsh net-dumpxml` → IP by MAC."""

from __future__ import annotations

from typing import NamedTuple

from mdsvc.discovery.markup import document, shown
from mdsvc.errors import BadInput


class Network(NamedTuple):
    """A network's name, and the IP of each MAC, in lower case, that has one reserved."""

    name: str
    leases: dict[str, str]


def network_from_xml(xml: str | bytes) -> Network:
    """The network of that XML. Raises BadInput."""
    root = document(xml, "`virsh net-dumpxml`")
    name = (root.findtext("name") or "").strip()
    if root.tag != "network" or not name:
        raise BadInput(f"<{shown(root.tag)}>: expected <network> with <name> in it")
    hosts = root.iterfind("ip/dhcp/host")
    reserved = ((host.get("mac"), host.get("ip")) for host in hosts)
    return Network(name, {mac.lower(): ip for mac, ip in reserved if mac and ip})
