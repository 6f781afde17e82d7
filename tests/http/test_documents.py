"""What stands in the documents, version by version (R21, R22)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mdsvc.documents import Documents, ec2
from mdsvc.instance import Base64
from mdsvc.versions import BY_NAME, Options
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import poor, rich
from tests.http.test_listings import EC2_VERSIONS, VERSIONS

TEXT = "text/plain; charset=UTF-8"
BYTES = "text/plain; charset=ISO-8859-1"
JSON = "application/json"
LATEST = "/openstack/latest/meta_data.json"

FIELDS = {
    "uuid": "2012-08-10",
    "meta": "2012-08-10",
    "files": "2012-08-10",
    "public_keys": "2012-08-10",
    "keys": "2012-08-10",
    "hostname": "2012-08-10",
    "name": "2012-08-10",
    "launch_index": "2012-08-10",
    "availability_zone": "2012-08-10",
    "random_seed": "2013-04-04",
    "project_id": "2015-10-15",
    "devices": "2016-06-30",
    "dedicated_cpus": "2020-10-14",
}
"""When each field of meta_data.json came; that of network interfaces and shares see below."""


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_version_has_the_fields_that_came_until_then(serve: Serve, version: str) -> None:
    document = (await (await serve())(f"/openstack/{version}/meta_data.json")).json
    assert set(document) == {name for name, since in FIELDS.items() if since <= version}


async def test_a_poor_guest_has_no_empty_fields_but_those_that_must_be(serve: Serve) -> None:
    document = (await (await serve(FakeStore(poor())))(LATEST)).json
    assert document.pop("random_seed")
    assert document == {
        "uuid": poor().uuid,
        "hostname": "poor.novalocal",
        "name": "poor",
        "launch_index": 0,
        "availability_zone": None,
        "project_id": poor().project_id,
        "devices": [],
        "dedicated_cpus": "",
    }


async def test_latest_is_the_newest_version(serve: Serve) -> None:
    ask = await serve()
    for name in ("", "/user_data", "/vendor_data2.json", "/network_data.json", "/meta_data.json"):
        latest, newest = (
            await ask(f"/openstack/latest{name}"),
            await ask(f"/openstack/{VERSIONS[-1]}{name}"),
        )
        assert latest.headers["ETag"] == newest.headers["ETag"]
    assert (await ask("/latest/meta-data")).body == (await ask("/2009-04-04/meta-data")).body


# ---- devices ----

_NICS = [
    {"type": "nic", "mac": "fa:16:3e:00:00:01", "tags": ["a"], "vlan": 5, "vf_trusted": True},
    {"type": "nic", "mac": "fa:16:3e:00:00:02", "vlan": 0, "tags": []},
    {"type": "nic", "mac": "fa:16:3e:00:00:03"},
    {"type": "share", "share_id": "s", "tag": "data"},
]


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("2016-06-30", ["tags", "tags"]),
        ("2016-10-06", ["tags", "tags"]),
        ("2017-02-22", ["tags vlan", "tags vlan"]),
        ("2018-08-27", ["tags vf_trusted vlan", "tags vf_trusted vlan", "vf_trusted"]),
        ("2020-10-14", ["tags vf_trusted vlan", "tags vf_trusted vlan", "vf_trusted"]),
        ("2025-04-04", [*(2 * ["tags vf_trusted vlan"]), "vf_trusted", "share_id tag"]),
    ],
)
async def test_a_version_shows_of_devices_what_came_until_then(
    serve: Serve, version: str, keys: list[str]
) -> None:
    ask = await serve(FakeStore(poor(devices=_NICS)))
    devices = (await ask(f"/openstack/{version}/meta_data.json")).json["devices"]
    common = {"type", "mac", "bus", "address"}
    assert [" ".join(sorted(device.keys() - common)) for device in devices] == keys


# ---- dedicated_cpus ----

_RESOURCES = {"resources:VCPU": "3", "resources:PCPU": "5", "hw:numa_nodes": "2"}
_MASK = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0-1"}
_REALTIME = {"hw:cpu_policy": "mixed", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "1,3"}


@pytest.mark.parametrize(
    ("claim", "specs", "text", "cpus"),
    [
        ("the round-robin list", _RESOURCES, "2-3,5-7", [2, 3, 5, 6, 7]),
        ("the dedicated mask", _MASK, "2-7", [2, 3, 4, 5, 6, 7]),
        ("the realtime mask", _REALTIME, "1,3", [1, 3]),
        ("all vCPUs of a dedicated guest", {"hw:cpu_policy": "dedicated"}, "0-7", [*range(8)]),
        ("none of a shared guest", {"hw:cpu_policy": "shared"}, "", []),
        ("none of a shared guest with NUMA nodes", {"hw:numa_nodes": "2"}, "", []),
        ("none where nothing is said", {}, "", []),
    ],
)
async def test_dedicated_cpus_are_what_was_fitted(
    serve: Serve, claim: str, specs: dict[str, str], text: str, cpus: list[int]
) -> None:
    store = FakeStore(poor(flavor={"vcpus": 8, "memory_mb": 512, "extra_specs": specs}))
    for form, expected in (("cpuset", text), ("list", cpus)):
        ask = await serve(store, dedicated_cpus_format=form)
        for version in (*VERSIONS, "latest"):
            document = (await ask(f"/openstack/{version}/meta_data.json")).json
            assert ("dedicated_cpus" in document) == (version >= "2020-10-14")
            assert document.get("dedicated_cpus", expected) == expected
        leaf = await ask("/mdsvc/v1/dedicated_cpus")
        assert (leaf.status, leaf.text, leaf.type) == (200, text, TEXT)


# ---- random_seed ----


async def test_the_seed_is_512_bytes_fresh_in_every_reply(serve: Serve) -> None:
    ask = await serve()
    replies = [await ask(f"/openstack/{v}/meta_data.json") for v in (*VERSIONS[1:], "latest")]
    replies += [await ask(LATEST) for _ in range(5)]
    seeds = [base64.b64decode(reply.json["random_seed"], validate=True) for reply in replies]
    assert {len(seed) for seed in seeds} == {512}
    assert len(set(seeds)) == len(seeds)


async def test_the_seed_is_no_part_of_the_etag(serve: Serve) -> None:
    ask = await serve()
    first, second = await ask(LATEST), await ask(LATEST)
    assert first.body != second.body
    assert first.headers["ETag"] == second.headers["ETag"]
    assert first.headers["ETag"].startswith("W/")


# ---- files as they are ----


@pytest.mark.parametrize(
    ("claim", "form", "body"),
    [
        ("text", "#cloud-config\nhéllo ☃\n", "#cloud-config\nhéllo ☃\n".encode()),
        ("bytes that are no text", {"base64": "H4sIAP//AAH+"}, base64.b64decode("H4sIAP//AAH+")),
        ("empty text", "", b""),
        ("none", None, None),
    ],
)
async def test_user_data_is_served_as_it_was_given(
    serve: Serve, claim: str, form: Any, body: bytes | None
) -> None:
    ask = await serve(FakeStore(poor(user_data=form)))
    paths = [f"/openstack/{version}/user_data" for version in (*VERSIONS, "latest")]
    paths += [f"/{version}/user-data" for version in (*EC2_VERSIONS, "latest")]
    for path in paths:
        reply = await ask(path)
        kind = BYTES if claim == "bytes that are no text" else TEXT
        assert (reply.status, reply.type) == (404 if body is None else 200, kind)
        assert body is None or reply.body == body


async def test_vendor_data_is_the_operators_file(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "vendor.json"
    path.write_text('{"cloud-init": "#cloud-config\\n", "größe": [1, null]}')
    expected = {"cloud-init": "#cloud-config\n", "größe": [1, None]}
    ask = await serve(vendor_data=path)
    for name, value in (("vendor_data", expected), ("vendor_data2", {"static": expected})):
        reply = await ask(f"/openstack/latest/{name}.json")
        assert (reply.type, reply.json) == (JSON, value)


async def test_without_a_file_vendor_data_is_empty(serve: Serve) -> None:
    ask = await serve()
    assert (await ask("/openstack/latest/vendor_data.json")).json == {}
    assert (await ask("/openstack/latest/vendor_data2.json")).json == {"static": {}}


async def test_network_data_is_what_was_given_or_empty(serve: Serve) -> None:
    for guest in (rich(), poor()):
        reply = await (await serve(FakeStore(guest)))("/openstack/latest/network_data.json")
        assert (reply.type, reply.json) == (JSON, guest.network_data or {})


# ---- what is kept ----


def test_what_is_rendered_is_kept_for_the_guests_that_asked_last() -> None:
    guests = [replace(poor(), uuid=poor().uuid[:-1] + str(n)) for n in range(3)]
    one = Documents(Options())
    one.find(poor(), ("latest", "meta-data", "hostname"))
    documents = Documents(Options(), room=2 * one.size)
    first, second, third = guests

    def find(guest: Any) -> Any:
        return documents.find(guest, ("latest", "meta-data", "hostname"))

    kept = [find(first), find(second)]
    assert find(first) is kept[0]
    find(third)
    assert find(first) is kept[0]
    assert find(second) is not kept[1]
    assert documents.size <= 2 * one.size


def test_what_is_kept_is_counted_in_bytes_and_the_same_content_once() -> None:
    """User data of 64 KiB, read in every version: 1.2 MiB, were each one kept."""
    documents = Documents(Options(), room=300_000)
    large = replace(poor(), user_data="x" * 60_000)
    for version in BY_NAME:
        found = documents.find(large, ("openstack", version, "user_data"))
        assert found
        assert len(found.body) == 60_000
    for version in ec2.LISTED:
        assert documents.find(large, (version, "user-data"))
    assert 120_000 < documents.size < 150_000, "the guest itself, and its user data"
    for number in range(10):
        other = replace(large, uuid=poor().uuid[:-1] + str(number))
        assert documents.find(other, ("latest", "user-data"))
        assert documents.size <= 300_000
    tiny = Documents(Options(), room=1_000)
    assert tiny.find(large, ("latest", "user-data"))
    assert tiny.size == 0, "what has no room at all is not kept"


@pytest.mark.parametrize("generation", [1, 2])
def test_a_guest_that_has_changed_is_rendered_anew(generation: int) -> None:
    """Also where another guest has taken the UUID, and begins at the same generation."""
    documents, path = Documents(Options()), ("openstack", "latest", "user_data")
    assert documents.find(poor(), path) is None
    changed = replace(poor(), user_data="new", generation=generation)
    found = documents.find(changed, path)
    assert found
    assert found.body == b"new"
    again = documents.find(replace(changed, user_data=Base64("AA==")), path)
    assert again
    assert again.body == b"\0"


async def test_the_etag_tells_one_content_from_another(serve: Serve) -> None:
    store = FakeStore(rich())
    ask = await serve(store)
    paths = (
        LATEST,
        "/openstack/latest/user_data",
        "/latest/meta-data/hostname",
        "/mdsvc/v1/layout",
    )
    before = [(await ask(path)).headers["ETag"] for path in paths]
    store.put(replace(rich(), user_data="new", hostname="new", generation=4))
    after = [(await ask(path)).headers["ETag"] for path in paths]
    assert not set(before) & set(after)
