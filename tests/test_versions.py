"""What the documents' own rules say, beside what HTTP and Nova's documents hold them to."""

from __future__ import annotations

from typing import Any

from mdsvc.versions import VERSIONS, Options, View
from tests.http.guests import poor

Json = dict[str, Any]


def network_data(*addresses: Json, **fields: Any) -> Json:
    guest = poor(addresses=list(addresses), **fields)
    version = VERSIONS["2015-10-15"]
    found: Json = version.files["network_data.json"](View(guest, Options(), version))
    return found


def address(ip: str, mac: str | None, **fields: Any) -> Json:
    return {"network": "net-a", "ip": ip, "mac": mac, **fields}


def test_network_data_is_one_link_for_each_mac_address() -> None:
    one, two = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"
    made = network_data(address("10.0.0.5", one), address("10.1.0.5", two), address("fd00::5", one))
    assert [(link["id"], link["ethernet_mac_address"]) for link in made["links"]] == [
        ("link0", one),
        ("link1", two),
    ]
    assert [(net["link"], net["type"]) for net in made["networks"]] == [
        ("link0", "ipv4_dhcp"),
        ("link1", "ipv4_dhcp"),
        ("link0", "ipv6_slaac"),
    ]


def test_what_has_no_mac_address_in_the_guest_makes_no_link() -> None:
    floating = address("198.51.100.7", "fa:16:3e:00:00:01", floating=True)
    assert network_data(address("10.0.0.5", None), floating) == {}


def test_the_operators_network_data_is_served_as_it_is() -> None:
    assert network_data(address("10.0.0.5", "fa:16:3e:00:00:01"), network_data={}) == {}
