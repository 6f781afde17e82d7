"""Names that reach guests (R29): what is taken, what is refused, and the one spelling of each."""

from __future__ import annotations

import ipaddress
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.names import canonical_ip, hostname_from, listed_key_name, one_line
from tests.strategies import INSTANCE, THOROUGH

Json = dict[str, Any]

LINE_ENDS = [
    char for char in map(chr, range(sys.maxunicode + 1)) if len(f"a{char}b".splitlines()) > 1
]
KEY = "ssh-ed25519 AAAA ops@example.org"


def instance(**fields: Any) -> Instance:
    return from_builtins({**INSTANCE, **fields}, Instance)


def refused(field: str, **fields: Any) -> str:
    """What is said of the field, in one line that says what was expected."""
    with pytest.raises(BadInput) as error:
        instance(**fields)
    message = str(error.value)
    assert message.startswith(f"{field}: expected ")
    assert message.isprintable()
    return message


# ---- lines ----

NIC: Json = {"type": "nic", "mac": "fa:16:3e:aa:bb:cc"}
DISK: Json = {"type": "disk"}
SHARE: Json = {"type": "share", "share_id": "s", "tag": "t"}
FLAVOR: Json = INSTANCE["flavor"]

LINES: dict[str, Any] = {
    "project_id": lambda text: {"project_id": text},
    "name": lambda text: {"name": text},
    "flavor.name": lambda text: {"flavor": {**FLAVOR, "name": text}},
    "image.id": lambda text: {"image": {"id": text}},
    "image.name": lambda text: {"image": {"name": text}},
    "addresses[0].network": lambda text: {"addresses": [{"network": text, "ip": "10.0.0.5"}]},
    "key_pairs[0].name": lambda text: {"key_pairs": [{"name": text, "public_key": KEY}]},
    "meta: each key": lambda text: {"meta": {text: "x"}},
    "files[0].path": lambda text: {"files": [{"path": text, "content": ""}]},
    "availability_zone": lambda text: {"availability_zone": text},
    "reservation_id": lambda text: {"reservation_id": text},
    "security_groups[1]": lambda text: {"security_groups": ["default", text]},
    "root_device_name": lambda text: {"root_device_name": text},
    "hostname": lambda text: {"hostname": text},
    "devices[0].bus": lambda text: {"devices": [{**NIC, "bus": text}]},
    "devices[0].address": lambda text: {"devices": [{**DISK, "address": text}]},
    "devices[0].tags[0]": lambda text: {"devices": [{**SHARE, "tags": [text]}]},
    "devices[0].serial": lambda text: {"devices": [{**DISK, "serial": text}]},
    "devices[0].path": lambda text: {"devices": [{**DISK, "path": text}]},
    "devices[0].share_id": lambda text: {"devices": [{**SHARE, "share_id": text}]},
    "devices[0].tag": lambda text: {"devices": [{**SHARE, "tag": text}]},
}


def test_these_are_all_line_ends_there_are() -> None:
    assert {*LINE_ENDS} == {*"\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"}


@pytest.mark.parametrize("field", LINES)
def test_no_text_that_a_guest_reads_as_a_line_has_a_line_end(field: str) -> None:
    for char in (*LINE_ENDS, "\x1b", "\x7f", "\x9b"):
        for text in (f"a{char}b", f"a{char}", f"{char}a"):
            refused(field, **LINES[field](text))
    instance(**LINES[field]("a"))


@given(st.text())
@THOROUGH
def test_old_text_is_made_one_line_of_the_same_length(text: str) -> None:
    shown = one_line(text)
    assert len(shown) == len(text)
    assert len(f"a{shown}b".splitlines()) == 1
    assert one_line(shown) == shown


# ---- key pairs ----


@pytest.mark.parametrize("name", ["ops", "ops team", "a@b.example", "A-b_c.1", "-", ".", "x" * 255])
def test_a_key_pair_is_named_as_in_nova(name: str) -> None:
    assert instance(key_pairs=[{"name": name, "public_key": KEY}]).key_pairs[0].name == name


@pytest.mark.parametrize(
    "name", ["", "ops team/", "a=/", "/", "a=b", "größe", "٣", " a", "a ", " ", "a\tb", "x" * 256]
)
def test_and_not_otherwise(name: str) -> None:
    refused("key_pairs[0].name", key_pairs=[{"name": name, "public_key": KEY}])


@given(st.text(), st.integers(0, 9))
@THOROUGH
def test_a_listed_name_is_an_entry_of_its_own(name: str, number: int) -> None:
    """As cloud-init reads lists: lines, stripped, those that end in a slash are folders."""
    (line,) = f"{number}={listed_key_name(name, number)}".splitlines()
    assert line == line.strip()
    assert line.count("=") == 1
    assert not line.endswith(("/", "="))


def test_a_name_from_before_the_rule_is_listed_as_no_other_can_be() -> None:
    assert listed_key_name("ops team/", 3) == "key#3"
    refused("key_pairs[0].name", key_pairs=[{"name": "key#3", "public_key": KEY}])


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_an_ssh_key_is_one_line_with_or_without_its_end(end: str) -> None:
    pairs = [{"name": "a", "public_key": KEY + end}]
    assert instance(key_pairs=pairs).key_pairs[0].public_key == KEY + end


@pytest.mark.parametrize("char", LINE_ENDS)
def test_an_ssh_key_of_two_lines_is_refused(char: str) -> None:
    for text in (f"{KEY}{char}{KEY}", f"{KEY}\n{char}", f"{char}{KEY}"):
        refused("key_pairs[0].public_key", key_pairs=[{"name": "a", "public_key": text}])


def test_a_certificate_has_many_lines() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    pairs = [{"name": "a", "type": "x509", "public_key": pem}]
    assert instance(key_pairs=pairs).key_pairs[0].public_key == pem


# ---- host names ----

RFC_1123 = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@pytest.mark.parametrize(
    ("name", "hostname"),
    [
        ("db.1", "db-1"),
        ("db.2", "db-2"),
        ("a..b", "a--b"),
        ("Web_Server 01!", "web-server-01"),
        ("a\u3000b", "ab"),
        ("K\u212a", "k"),
        ("x" * 62 + ".y", "x" * 62),
        ("...", ""),
    ],
)
def test_a_display_name_makes_one_label(name: str, hostname: str) -> None:
    assert hostname_from(name) == hostname


@given(st.text(min_size=1))
@THOROUGH
def test_any_display_name_makes_a_valid_label_or_none(name: str) -> None:
    label = hostname_from(name)
    assert not label or RFC_1123.fullmatch(label)


def test_guests_that_differ_behind_a_dot_have_host_names_of_their_own() -> None:
    names = ("db.1", "db.2")
    made = [instance(name=name, hostname=None).hostname for name in names]
    assert made == ["db-1.novalocal", "db-2.novalocal"]


LONGEST = ".".join(["x" * 63] * 3 + ["y" * 61])


@pytest.mark.parametrize("name", ["a", "1", "A.b-c.9", "1.2.3", "x" * 63, LONGEST, "xn--bcher-kva"])
def test_a_host_name_by_rfc_1123_is_taken(name: str) -> None:
    assert instance(hostname=name).hostname == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "a..b", ".a", "a.", "-a", "a-", "a.-b", "a-.b", "a_b", "a b", "é", "a/b", "10.0.0.5"),
        *("x" * 64, f"a.{'x' * 64}", f"{LONGEST}z", "a\n"),
    ],
)
def test_any_other_host_name_is_refused(name: str) -> None:
    assert "RFC 1123" in refused("hostname", hostname=name)


# ---- addresses ----


def test_one_nic_however_its_mac_address_is_written() -> None:
    addresses = [
        {"network": "a", "ip": "10.0.0.5", "mac": "FA:16:3E:AA:BB:CC"},
        {"network": "a", "ip": "2001:db8::5", "mac": "fa:16:3e:aa:bb:cc"},
    ]
    links = [{"id": "l", "ethernet_mac_address": "FA:16:3E:AA:BB:CC", "type": "phy"}]
    vlan = [{"id": "v", "type": "vlan", "vlan_mac_address": "FA:16:3E:AA:BB:CC", "mtu": None}]
    data = {"links": links + vlan, "networks": [], "services": []}
    given = instance(addresses=addresses, devices=[{**NIC, "mac": "Fa:16:3e:AA:bb:cc"}])
    assert {address.mac for address in given.addresses} == {"fa:16:3e:aa:bb:cc"}
    assert given.devices[0].mac == "fa:16:3e:aa:bb:cc"  # type: ignore[union-attr]  # a Nic
    found = instance(network_data=data).network_data
    assert found
    assert found["links"][0] == {**links[0], "ethernet_mac_address": "fa:16:3e:aa:bb:cc"}
    assert found["links"][1] == {**vlan[0], "vlan_mac_address": "fa:16:3e:aa:bb:cc"}
    assert data["links"][0]["ethernet_mac_address"] == "FA:16:3E:AA:BB:CC"


@pytest.mark.parametrize("links", [None, 5, "x", {}, [None], [[]], [{"ethernet_mac_address": 5}]])
def test_odd_network_data_is_the_operator_s_own(links: Any) -> None:
    assert instance(network_data={"links": links}).network_data == {"links": links}


@pytest.mark.parametrize(
    "mac", ["", "fa", "fa-16-3e-aa-bb-cc", "fa:16:3e:aa:bb:cc\n", "fa:16:3e:aa:bb:c٣"]
)
def test_what_is_no_mac_address_is_refused(mac: str) -> None:
    address = {"network": "a", "ip": "10.0.0.5", "mac": mac}
    assert "fa:16:3e:aa:bb:cc" in refused("addresses[0].mac", addresses=[address])
    refused("devices[0].mac", devices=[{"type": "nic", "mac": mac}])


@pytest.mark.parametrize("ip", ["::ffff:10.0.0.5", "::FFFF:A00:5", "0:0:0:0:0:ffff:10.0.0.5"])
def test_an_ipv4_address_mapped_into_ipv6_is_the_ipv4_address(ip: str) -> None:
    assert instance(addresses=[{"network": "a", "ip": ip}]).addresses[0].ip == "10.0.0.5"
    both = [{"network": "a", "ip": "10.0.0.5"}, {"network": "a", "ip": ip}]
    with pytest.raises(BadInput, match="expected each once"):
        instance(addresses=both)


@given(st.ip_addresses())
@THOROUGH
def test_an_address_has_one_spelling(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    spelling = canonical_ip(str(ip))
    assert canonical_ip(spelling) == spelling == canonical_ip(ip.exploded.upper())
