"""Guests that were stored before their names had rules (R29) are served, and safely."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from mdsvc.app import open_store
from mdsvc.forms import to_builtins
from tests.http.conftest import Serve
from tests.http.guests import HOST, poor
from tests.http.tree import crawl
from tests.http.wire import Reply, Wire

KEY = "ssh-ed25519 AAAA"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n"
MAC = "FA:16:3E:AA:BB:CC"

OLD: dict[str, Any] = {
    "name": "db.1\u2028",
    "project_id": "p\x85",
    "hostname": "a..b-",
    "flavor": {"vcpus": 2, "memory_mb": 64, "name": "m\nl/", "extra_specs": {}},
    "image": {"id": "\u2029i/", "name": "\n", "properties": {}},
    "availability_zone": "az\x851/",
    "reservation_id": "r\u2028",
    "security_groups": ["default/", "a\u2028b"],
    "root_device_name": "/dev/vda\x85",
    "addresses": [
        {"network": "net-a", "ip": "127.0.0.1", "mac": MAC, "floating": False},
        {"network": "net-a", "ip": "2001:db8::5", "mac": MAC.lower(), "floating": False},
        {"network": "net-b", "ip": "::ffff:a00:5", "mac": None, "floating": True},
        {"network": "net-b", "ip": "10.0.0.5", "mac": None, "floating": True},
    ],
    "key_pairs": [
        {"name": "windows", "type": "x509", "public_key": PEM},
        {"name": "ops team/", "type": "ssh", "public_key": f"{KEY} 0"},
        {"name": "a=/", "type": "ssh", "public_key": f"{KEY} 1"},
        {"name": "a\x85b", "type": "ssh", "public_key": f"{KEY} 2\n{KEY} 3\n"},
        {"name": "ops", "type": "ssh", "public_key": f"{KEY} 4"},
    ],
    "meta": {"a\u2028": "b"},
    "files": [{"path": "/a\x85", "content": ""}],
    "devices": [{"type": "nic", "mac": MAC, "tags": ["\u2028"], "vlan": 5}],
}
"""What could be stored: frozen, as records like this one are out there."""


def old_record() -> bytes:
    record = msgpack.packb({"form": 2, "value": {**to_builtins(poor()), **OLD}})
    assert isinstance(record, bytes)
    return record


@pytest.fixture
async def ask(serve: Serve, tmp_path: Path) -> AsyncIterator[Wire]:
    """A server on a database in which the record stands as it was written then."""
    file = tmp_path / "old.db"
    store = await open_store(f"sqlite:///{file}")
    async with store.transaction() as transaction:
        await transaction.add_host(HOST)
        await transaction.add_instance(poor())
    await store.close()
    with sqlite3.connect(file) as database:
        database.execute("UPDATE instances SET record = ?", [old_record()])
    database.close()
    yield await serve(reopened := await open_store(f"sqlite:///{file}"))
    await reopened.close()


async def documents(ask: Wire) -> dict[str, Reply]:
    """Every document that a guest finds, by its path."""
    replies: dict[str, Reply] = {}

    async def read(path: str) -> str:
        replies[path] = await ask(path)
        assert replies[path].status == 200, path
        return replies[path].text

    for root in ("/openstack", "/"):
        await _follow(read, root)
    return replies


async def _follow(read: Any, root: str) -> None:
    """``tree.crawl`` asks one after another, so each answer is fetched before it is needed."""
    texts: dict[str, str] = {}
    while True:
        try:
            for _ in crawl(texts.__getitem__, root):
                pass
        except KeyError as missing:
            texts[missing.args[0]] = await read(missing.args[0])
        else:
            return


async def test_no_list_of_theirs_has_an_entry_that_is_read_as_another(ask: Wire) -> None:
    for path, reply in (await documents(ask)).items():
        if reply.type == "application/json" or path.endswith("openssh-key"):
            continue
        assert reply.text.splitlines() == reply.text.split("\n") or not reply.text, path
        if path.endswith("public-keys"):
            assert not any(line.endswith("/") for line in reply.lines)


async def test_keys_that_are_badly_named_are_all_there_and_certificates_are_none(
    ask: Wire,
) -> None:
    listed = await ask("/latest/meta-data/public-keys/")
    assert listed.lines == ["0=key#0", "1=key#1", "2=key#2", "3=ops"]
    for number in (0, 1, 3):
        found = await ask(f"/latest/meta-data/public-keys/{number}/openssh-key")
        assert found.text == f"{KEY} {number + (number == 3)}"
    document = (await ask("/openstack/latest/meta_data.json")).json
    assert list(document["public_keys"].values()) == [p["public_key"] for p in OLD["key_pairs"][1:]]
    assert [key["type"] for key in document["keys"]] == ["x509", "ssh", "ssh", "ssh", "ssh"]


async def test_two_spellings_of_one_mac_address_are_one_link(ask: Wire) -> None:
    data = (await ask("/openstack/latest/network_data.json")).json
    assert [link["ethernet_mac_address"] for link in data["links"]] == [MAC.lower()]
    assert [(net["type"], net["link"]) for net in data["networks"]] == [
        ("ipv4_dhcp", "link0"),
        ("ipv6_slaac", "link0"),
    ]
    devices = (await ask("/openstack/latest/meta_data.json")).json["devices"]
    assert devices[0]["mac"] == MAC.lower()


async def test_what_it_was_called_it_is_still_called(ask: Wire) -> None:
    assert (await ask("/latest/meta-data/hostname")).text == "a..b-"
    assert (await ask("/latest/meta-data/instance-type")).text == "m l/"
    assert (await ask("/latest/meta-data/security-groups")).lines == ["default/", "a b"]
    assert (await ask("/latest/meta-data/public-ipv4")).text == "10.0.0.5"
