"""Instances as their operators describe them: what is read, what is refused, what is filled in."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins, from_json, to_builtins, to_json
from mdsvc.instance import Instance, PlacedInstance, content_bytes, place_instance
from mdsvc.layout import fit
from tests.promptly import growth
from tests.reference.facts import Json
from tests.strategies import INSTANCE, UUID, asked, grid, host_of

REQUIRED = ("uuid", "project_id", "name", "flavor")
SMALL: Json = {key: INSTANCE[key] for key in REQUIRED}


def instance(**changes: Any) -> Instance:
    return from_builtins({**SMALL, **changes}, Instance)


def test_the_contracts_example_is_read_and_written_again() -> None:
    found = from_builtins(INSTANCE, Instance)
    assert from_json(to_json(found), Instance) == found
    assert from_builtins(to_builtins(found), Instance) == found
    assert found.hostname == "dpdk-0.novalocal"
    assert [type(device).__name__ for device in found.devices] == ["Nic", "Disk", "Share"]


@pytest.mark.parametrize("field", REQUIRED)
def test_four_fields_are_required(field: str) -> None:
    form = {key: value for key, value in SMALL.items() if key != field}
    with pytest.raises(BadInput, match=f"^{field}: required, but missing$"):
        from_builtins(form, Instance)


MAC = "fa:16:3e:aa:bb:cc"
ADDRESS = {"network": "a", "ip": "10.0.0.5"}
KEY = {"name": "a", "public_key": "x"}
NIC = {"type": "nic", "mac": MAC}
WRONG: list[tuple[str, Any, str]] = [
    ("uuid", "x", "uuid: expected a UUID like 1f1c"),
    ("uuid", UUID + "\n", "uuid: expected a UUID"),
    ("uuid", UUID.replace("1", "١"), "uuid: expected a UUID"),
    ("uuid", 5, "uuid: expected text, got a number"),
    ("project_id", "", "project_id: expected text of 1 to 255 characters"),
    ("project_id", "a\nb", "project_id: "),
    ("name", "x" * 256, "name: expected text of 1 to 255 characters"),
    ("name", "a\x7f", "name: "),
    ("hostname", "", "hostname: "),
    ("hostname", "-a", "hostname: "),
    ("hostname", "a b", "hostname: "),
    ("hostname", "a\n", "hostname: "),
    ("flavor", {"vcpus": 1}, "flavor.memory_mb: required, but missing"),
    ("flavor", None, "flavor: expected an object, got null"),
    ("image", {"properties": {"x": []}}, "image.properties.x: expected text, a whole number"),
    ("addresses", [{"network": "a", "ip": "1"}], "addresses[0].ip: expected an IPv4 or IPv6"),
    ("addresses", [{"network": "a", "ip": "10.0.0.5/24"}], "addresses[0].ip: expected an IPv4"),
    ("addresses", [{"network": "a", "ip": "010.0.0.5"}], "addresses[0].ip: expected an IPv4"),
    ("addresses", [{"network": "a", "ip": 5}], "addresses[0].ip: expected text"),
    ("addresses", [{**ADDRESS, "mac": "x"}], "addresses[0].mac: "),
    (
        "addresses",
        [{**ADDRESS, "floating": 1}],
        "addresses[0].floating: expected true or false, got a number",
    ),
    ("addresses", [{"ip": "10.0.0.5"}], "addresses[0].network: required"),
    ("addresses", [ADDRESS, ADDRESS], "addresses: network and ip: expected each once"),
    ("key_pairs", [KEY, KEY], "key_pairs: name: expected each once, but 'a' is there twice"),
    ("key_pairs", [{**KEY, "type": "pgp"}], "key_pairs[0].type: expected one of ssh, x509"),
    ("key_pairs", [{**KEY, "public_key": ""}], "key_pairs[0].public_key: "),
    ("meta", {"a": 5}, "meta.a: expected text, got a number"),
    ("meta", {"": "a"}, "meta: each key: expected text of 1 to 255 characters"),
    ("meta", {"a\nb": "a"}, "meta: "),
    ("user_data", "x" * 65536, "user_data: expected at most 65535 bytes"),
    ("user_data", "é" * 32768, "user_data: expected at most 65535 bytes"),
    ("user_data", {"base64": "é"}, "user_data.base64: expected base64 text"),
    ("user_data", {"base64": "aGk"}, "user_data.base64: expected base64 text"),
    ("user_data", {"base64": "aG k="}, "user_data.base64: expected base64 text"),
    ("user_data", {"text": "a"}, "user_data."),
    ("user_data", 5, "user_data: "),
    ("files", [{"path": "", "content": "a"}], "files[0].path: "),
    ("launch_index", -1, "launch_index: expected a whole number from 0 to 2147483648, got -1"),
    ("launch_index", 10**30, "launch_index: "),
    ("launch_index", 0.5, "launch_index: expected a whole number from 0 to 2147483648, got 0.5"),
    ("security_groups", "default", "security_groups: expected a list, got text"),
    ("security_groups", [""], "security_groups[0]: "),
    ("availability_zone", "a\tb", "availability_zone: "),
    ("devices", [{"type": "gpu"}], "devices[0].type: expected one of nic, disk, share"),
    ("devices", [{"mac": MAC}], "devices[0].type: required, but missing"),
    (
        "devices",
        [{**NIC, "vlan": 4095}],
        "devices[0].vlan: expected a whole number from 0 to 4094, got 4095",
    ),
    ("devices", [{**NIC, "mac": "fa:16:3e:aa:bb"}], "devices[0].mac: "),
    ("devices", [{**NIC, "tags": [""]}], "devices[0].tags[0]: "),
    ("devices", [{**NIC, "serial": "a"}], "devices[0].serial: no such field"),
    ("devices", [{"type": "share", "tag": "a"}], "devices[0].share_id: required"),
    ("network_data", [], "network_data: expected an object, got a list"),
    ("version_list", "all", "version_list: expected one of newest, nova"),
    ("host", "h1", "host: no such field is known here"),
    ("layout", {}, "layout: no such field is known here"),
]


@pytest.mark.parametrize(("field", "value", "message"), WRONG)
def test_a_wrong_instance_names_the_field(field: str, value: Any, message: str) -> None:
    with pytest.raises(BadInput) as error:
        instance(**{field: value})
    assert str(error.value).startswith(message)
    assert str(error.value).isprintable()


# ---- what is filled in ----


def test_a_uuid_and_an_address_have_one_spelling() -> None:
    found = instance(
        uuid=UUID.upper(), addresses=[{"network": "a", "ip": "2001:DB8:0:0::0005", "mac": MAC}]
    )
    assert found.uuid == UUID
    assert found.addresses[0].ip == "2001:db8::5"


def test_one_address_in_two_spellings_is_there_twice() -> None:
    twice = [{"network": "a", "ip": ip} for ip in ("2001:db8::5", "2001:DB8:0::5")]
    with pytest.raises(BadInput, match="expected each once"):
        instance(addresses=twice)
    elsewhere = [{"network": network, "ip": "2001:db8::5"} for network in ("a", "b")]
    assert len(instance(addresses=elsewhere).addresses) == 2


@pytest.mark.parametrize(
    ("name", "hostname"),
    [
        ("dpdk-0", "dpdk-0.novalocal"),
        ("My_Server", "my-server.novalocal"),
        ("a b  c", "a-b--c.novalocal"),
        ("-.x.-", "x.novalocal"),
        ("x" * 255, "x" * 63 + ".novalocal"),
        ("日本", f"server-{UUID}.novalocal"),
        ("été", "t.novalocal"),
    ],
)
def test_a_guest_without_a_hostname_is_called_by_its_name(name: str, hostname: str) -> None:
    assert instance(name=name).hostname == hostname


def test_the_other_defaults() -> None:
    found = instance()
    assert found.reservation_id == "r-1f1c2a0e"
    assert found.security_groups == ("default",)
    assert found.root_device_name == "/dev/vda"
    assert found.image.properties == {}
    assert found.user_data is None


def test_user_data_is_text_or_bytes() -> None:
    data = bytes(range(256))
    form = {"base64": base64.b64encode(data).decode()}
    found = instance(user_data=form).user_data
    assert found is not None
    assert content_bytes(found) == data
    assert content_bytes("é\n") == "é\n".encode()
    assert instance(user_data="x" * 65535).user_data == "x" * 65535


def test_thousands_of_addresses_are_read_at_once() -> None:
    many = [{"network": "a", "ip": f"10.{n >> 8}.{n & 255}.1"} for n in range(20_000)]
    assert len(instance(addresses=many).addresses) == 20_000
    times = growth(lambda count: instance(addresses=many[:count]), 1000, 20_000)
    assert times < 100, "twenty times as many; 400 times, were each held against each"


# ---- on its host ----


def test_a_placed_instance_is_the_instance_with_its_place() -> None:
    form = copy.deepcopy(INSTANCE)
    found = from_builtins(form, Instance)
    layout = fit(host_of(grid(1, 16)), asked({"hw:cpu_policy": "dedicated"}))
    placed = place_instance(found, "h1", layout)
    assert (placed.host, placed.layout, placed.generation) == ("h1", layout, 1)
    for field in Instance.__struct_fields__:
        assert getattr(placed, field) == getattr(found, field)
    assert from_json(to_json(placed), PlacedInstance) == placed
    assert form == INSTANCE
