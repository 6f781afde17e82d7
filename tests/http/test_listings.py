"""Listings: one name a line, and what is listed is what is served."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec.structs import replace

from mdsvc.documents import Documents
from mdsvc.instance import PlacedInstance, VersionList
from mdsvc.versions import Options
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import poor, rich
from tests.http.tree import every_path, segments

TEXT, BYTES = "text/plain; charset=UTF-8", "text/plain; charset=ISO-8859-1"

VERSIONS = (
    *("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30"),
    *("2016-10-06", "2017-02-22", "2018-08-27", "2020-10-14", "2025-04-04"),
)
EC2_VERSIONS = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10"),
    *("2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04"),
)
FILES = {
    "meta_data.json": "2012-08-10",
    "user_data": "2012-08-10",
    "password": "2013-04-04",
    "vendor_data.json": "2013-10-17",
    "network_data.json": "2015-10-15",
    "vendor_data2.json": "2016-10-06",
}
LEAVES = {
    "ami-id": "1.0",
    "ami-launch-index": "1.0",
    "ami-manifest-path": "1.0",
    "block-device-mapping/": "2007-12-15",
    "cpu/": "1.0",
    "hostname": "1.0",
    "instance-action": "2008-09-01",
    "instance-id": "1.0",
    "instance-type": "2007-08-29",
    "local-hostname": "2007-01-19",
    "local-ipv4": "1.0",
    "placement/": "2008-02-01",
    "public-hostname": "2007-01-19",
    "public-ipv4": "2007-01-19",
    "public-keys/": "1.0",
    "reservation-id": "1.0",
    "security-groups": "1.0",
}

with_user_data = replace(poor(), user_data="")
GUESTS = {"rich": rich(), "poor": poor(), "empty user data": with_user_data}


@pytest.fixture(params=["rich", "poor", "empty user data"])
def guest(request: pytest.FixtureRequest) -> PlacedInstance:
    return GUESTS[request.param]


async def test_everything_listed_is_served(serve: Serve, guest: PlacedInstance) -> None:
    ask = await serve(FakeStore(guest))
    for path, is_folder in every_path(Documents(Options()), guest).items():
        for spelling in (path, f"{path}/"):
            reply = await ask(spelling)
            assert reply.status == 200, spelling
            assert reply.type == (
                "application/json" if path.endswith(("json", "out", "status")) else TEXT
            )
            assert not is_folder or not reply.body.endswith(b"\n")
            assert not is_folder or len(set(reply.lines)) == len(reply.lines)


def test_everything_served_is_listed(guest: PlacedInstance) -> None:
    documents = Documents(Options())
    listed = set(every_path(documents, guest))
    known = [segments(path) for path in every_path(documents, rich())]
    tops = {path[:at] for path in known for at in (0, 1, 2)}
    tails = {path[at:] for path in known for at in (0, 1, 2)}
    served = {
        "/" + "/".join((*top, *tail))
        for top, tail in product(tops, tails)
        if documents.find(guest, (*top, *tail))
    }
    assert served == listed


async def test_content_is_named_by_meta_data(serve: Serve) -> None:
    ask = await serve()
    files = (await ask("/openstack/latest/meta_data.json")).json["files"]
    found = {file["path"]: await ask("/openstack" + file["content_path"]) for file in files}
    assert {path: reply.body for path, reply in found.items()} == {
        "/etc/motd": b"Welcome\n",
        "/etc/blob": bytes([0, 1, 2, 0xFD, 0xFE, 0xFF]),
    }
    assert [found[path].type for path in ("/etc/motd", "/etc/blob")] == [TEXT, BYTES]


async def test_versions_are_listed_oldest_first_and_latest_last(serve: Serve) -> None:
    ask = await serve()
    assert (await ask("/openstack")).lines == [*VERSIONS, "latest"]
    assert (await ask("/")).lines == [*EC2_VERSIONS, "latest"]


def _since(table: dict[str, str], version: str) -> list[str]:
    return [name for name, since in table.items() if version == "latest" or since <= version]


@pytest.mark.parametrize("version", [*VERSIONS, "latest"])
async def test_a_version_lists_the_files_that_it_has(serve: Serve, version: str) -> None:
    found = (await (await serve())(f"/openstack/{version}")).lines
    assert sorted(found) == sorted(_since(FILES, version))


@pytest.mark.parametrize("version", [*EC2_VERSIONS, "latest"])
async def test_an_ec2_version_lists_the_leaves_that_it_has(serve: Serve, version: str) -> None:
    ask = await serve()
    assert (await ask(f"/{version}")).lines == ["meta-data/", "user-data"]
    assert (await ask(f"/{version}/meta-data")).lines == _since(LEAVES, version)


async def test_a_guest_lists_no_files_that_it_has_not(serve: Serve) -> None:
    ask = await serve(FakeStore(poor()))
    assert "user_data" not in (await ask("/openstack/latest")).lines
    assert (await ask("/latest")).lines == ["meta-data/"]
    missing = {"cpu/", "public-keys/"}
    assert missing.isdisjoint((await ask("/latest/meta-data")).lines)


async def test_keys_are_listed_by_number_and_name(serve: Serve) -> None:
    ask = await serve()
    assert (await ask("/latest/meta-data/public-keys/")).lines == ["0=ops"]
    assert (await ask("/latest/meta-data/public-keys/0")).lines == ["openssh-key"]


async def test_a_certificate_is_no_key(serve: Serve) -> None:
    pem = {"name": "windows", "type": "x509", "public_key": "-----BEGIN CERTIFICATE-----\nMIIB\n"}
    ask = await serve(FakeStore(poor(key_pairs=[pem])))
    assert "public-keys/" not in (await ask("/latest/meta-data")).lines
    assert (await ask("/latest/meta-data/public-keys")).status == 404
    document = (await ask("/openstack/latest/meta_data.json")).json
    assert "public_keys" not in document
    assert [key["name"] for key in document["keys"]] == ["windows"]


async def test_more_than_ten_keys_are_listed_in_their_order(serve: Serve) -> None:
    pairs = [{"name": f"key{number}", "public_key": str(number)} for number in range(12)]
    ask = await serve(FakeStore(poor(key_pairs=pairs)))
    listed = (await ask("/latest/meta-data/public-keys")).lines
    assert listed == [f"{number}=key{number}" for number in range(12)]
    assert (await ask("/latest/meta-data/public-keys/11/openssh-key")).text == "11"


NEWEST = ["2020-10-14", "2025-04-04", "latest"]


@pytest.mark.parametrize(
    ("setting", "own", "listed"),
    [
        ("nova", None, [*VERSIONS, "latest"]),
        ("nova", "newest", NEWEST),
        ("newest", None, NEWEST),
        ("newest", "nova", [*VERSIONS, "latest"]),
    ],
)
async def test_the_version_list_is_set_for_all_and_for_each(
    serve: Serve, setting: str, own: VersionList | None, listed: list[str]
) -> None:
    ask = await serve(FakeStore(replace(rich(), version_list=own)), version_list=setting)
    assert (await ask("/openstack")).lines == listed
    for version in VERSIONS:  # those that are not listed too
        reply = await ask(f"/openstack/{version}/meta_data.json")
        assert reply.status == 200
        assert (await ask(f"/openstack/{version}")).status == 200
