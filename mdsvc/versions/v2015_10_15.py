"""2015-10-15 (Liberty): ``project_id``; network_data.json.

Where the operator gives no network data, it is made of the guest's addresses: one link for each
MAC address, configured by the network itself. An empty document would leave a guest whose
cloud-init believes it without any network.
"""

import ipaddress
from typing import Any

from mdsvc.versions.version import Version, View

_BY_THE_NETWORK = {4: "ipv4_dhcp", 6: "ipv6_slaac"}


def _network_data(view: View) -> dict[str, Any]:
    guest = view.guest
    if guest.network_data is not None:
        return guest.network_data
    links: dict[str, str] = {}
    networks: list[dict[str, str]] = []
    for address in guest.addresses:
        if address.mac and not address.floating:
            link = links.setdefault(address.mac, f"link{len(links)}")
            kind = _BY_THE_NETWORK[ipaddress.ip_address(address.ip).version]
            network = {"type": kind, "link": link, "network_id": address.network}
            networks.append({"id": f"network{len(networks)}", **network})
    if not links:
        return {}
    phys = [{"id": link, "type": "phy", "ethernet_mac_address": mac} for mac, link in links.items()]
    return {"links": phys, "networks": networks, "services": []}


VERSION = Version(
    "2015-10-15",
    fields={"project_id": lambda view: view.guest.project_id},
    files={"network_data.json": _network_data},
)
