"""Guests are placed, shown and removed."""

from __future__ import annotations

import base64
from xml.etree import ElementTree as ET

import pytest

from tests.cli.command import Mdsvc
from tests.cli.conftest import Dump
from tests.cli.values import DEDICATED, OTHER_UUID, UUID, flavor, guest, host, plain

CREATE = ("instance", "create", "-", "--json")

RICH = guest(
    image={"id": "i", "name": "debian", "properties": {"hw_cpu_policy": "mixed"}},
    flavor=flavor(4, 512, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0-1"}),
    hostname="dpdk-0.example.org",
    addresses=[
        {"network": "a", "ip": "10.0.0.5", "mac": "fa:16:3e:aa:bb:cc"},
        {"network": "a", "ip": "2001:db8::5"},
        {"network": "public", "ip": "198.51.100.7", "floating": True},
    ],
    key_pairs=[{"name": "ops", "type": "ssh", "public_key": "ssh-ed25519 AAAA ops"}],
    meta={"role": "dataplane", "città": "Zürich ☃"},
    user_data={"base64": base64.b64encode(bytes(range(256))).decode()},
    files=[{"path": "/etc/motd", "content": "héllo\n"}],
    availability_zone="az1",
    launch_index=3,
    reservation_id="r-1",
    security_groups=["default", "dataplane"],
    devices=[
        {"type": "nic", "mac": "fa:16:3e:aa:bb:cc", "tags": ["fabric"], "vlan": 1000},
        {"type": "disk", "bus": "scsi", "address": "0:0:0:1", "serial": "d1"},
        {"type": "share", "share_id": "s", "tag": "data"},
    ],
    network_data={"links": [{"id": "tap0", "mtu": 1450}], "networks": [], "services": []},
    version_list="newest",
    tokens="required",
)


def _shown(mdsvc: Mdsvc, uuid: str) -> str:
    return " ".join(mdsvc("instance", "show", uuid).out.split())


@pytest.fixture
def mdsvc(mdsvc: Mdsvc) -> Mdsvc:
    assert mdsvc("host", "add", "-", stdin=host()).code == 0
    return mdsvc


def test_a_guest_is_printed_with_its_layout_as_it_is_stored(mdsvc: Mdsvc) -> None:
    placed = mdsvc(*CREATE, stdin=guest())
    assert (placed.code, placed.err) == (0, "")
    assert (placed.json["host"], placed.json["generation"]) == ("h1", 1)
    layout = placed.json["layout"]
    assert (layout["dedicated_cpus"], layout["shared_cpus"]) == ("2-3,5-7", "0-1,4")
    assert [cell["cpuset"] for cell in layout["cells"]] == ["0-1", "4"]
    assert [cell["pcpuset"] for cell in layout["cells"]] == ["2-3", "5-7"]
    assert mdsvc("instance", "show", UUID, "--json").json == placed.json
    assert mdsvc("instance", "list", "--json").json == [placed.json]


def test_what_a_guest_says_comes_back(mdsvc: Mdsvc) -> None:
    placed = mdsvc(*CREATE, stdin=RICH)
    assert (placed.code, placed.err) == (0, "")
    for name, value in RICH.items():
        stored = placed.json[name]
        if isinstance(value, dict) and name not in ("meta", "network_data"):
            assert {key: stored[key] for key in value} == value
        elif not isinstance(value, list) or name == "security_groups":
            assert stored == value
    for name in ("addresses", "key_pairs", "files", "devices"):
        for told, stored in zip(RICH[name], placed.json[name], strict=True):
            assert told.items() <= stored.items()


def test_what_a_guest_does_not_say_has_a_default(mdsvc: Mdsvc) -> None:
    bare = guest(addresses=None, name="Web_Server 01!", flavor={"vcpus": 1, "memory_mb": 64})
    placed = mdsvc(*CREATE, stdin=bare).json
    assert placed["hostname"] == "web-server-01.novalocal"
    assert placed["reservation_id"] == f"r-{UUID[:8]}"
    assert placed["security_groups"] == ["default"]
    assert (placed["addresses"], placed["user_data"], placed["network_data"]) == ([], None, None)
    assert placed["layout"]["cells"] == []


def test_a_uuid_is_one_in_capitals_too(mdsvc: Mdsvc) -> None:
    assert mdsvc(*CREATE, stdin=guest(UUID.upper())).json["uuid"] == UUID
    assert mdsvc("instance", "show", UUID.upper(), "--json").json["uuid"] == UUID
    assert mdsvc("instance", "delete", UUID.upper()).code == 0


def test_people_see_where_a_guest_is(mdsvc: Mdsvc) -> None:
    for done in (
        mdsvc("instance", "create", "-", stdin=guest()),
        mdsvc("instance", "show", UUID),
        mdsvc("instance", "list"),
    ):
        assert (done.code, done.err) == (0, "")
        for word in (UUID, "dpdk-0", "h1", "2-3,5-7"):
            assert word in done.out


def test_guests_are_listed_by_uuid(mdsvc: Mdsvc) -> None:
    for number in (2, 10, 1):
        assert mdsvc(*CREATE, stdin=plain(number, flavor=flavor(1, 64, DEDICATED))).code == 0
    listed = [found["uuid"] for found in mdsvc("instance", "list", "--json").json]
    assert listed == sorted(listed)
    assert len(listed) == 3


def test_a_guest_goes_where_it_is_told(mdsvc: Mdsvc) -> None:
    assert mdsvc("host", "add", "-", stdin=host("h2")).code == 0
    for name in ("h2", "h1"):
        uuid = {"h1": UUID, "h2": OTHER_UUID}[name]
        asked = guest(uuid, addresses=[])
        assert mdsvc(*CREATE, "--host", name, stdin=asked).json["host"] == name


def test_guests_that_are_told_nothing_go_wherever_there_is_room(mdsvc: Mdsvc) -> None:
    assert mdsvc("host", "add", "-", stdin=host("h2")).code == 0
    asked = [plain(number, flavor=flavor(4, 64, DEDICATED)) for number in range(7)]
    done = [mdsvc(*CREATE, stdin=form) for form in asked]
    assert [d.code for d in done] == [0] * 4 + [3] * 3, "a cell of six has room for one of four"
    assert sorted(d.json["host"] for d in done[:4]) == ["h1", "h1", "h2", "h2"]


def test_when_no_host_takes_a_guest_every_host_is_tried(mdsvc: Mdsvc) -> None:
    small = {"name": "small", "cells": [{"id": 0, "memory_mb": 64, "cpus": "0"}]}
    assert mdsvc("host", "add", "-", stdin=small).code == 0
    done = mdsvc(*CREATE, stdin=plain(1, flavor=flavor(16, 64, DEDICATED)))
    assert (done.code, done.out) == (3, "")
    assert "2 hosts" in done.err
    assert "h1" in done.err


def test_what_a_guest_used_is_free_once_it_is_removed(mdsvc: Mdsvc, dump: Dump) -> None:
    before = mdsvc("host", "show", "h1", "--json").json
    for form in (guest(), RICH):
        assert mdsvc(*CREATE, stdin=form).code == 0
        assert mdsvc("host", "show", "h1", "--json").json != before
        done = mdsvc("instance", "delete", UUID)
        assert (done.code, done.out, done.err) == (0, "", "")
        assert mdsvc("host", "show", "h1", "--json").json == before
        assert mdsvc("instance", "show", UUID).code == 4
        left = [line for line in dump().splitlines() if UUID in line]
        assert all(line.startswith('INSERT INTO "removals"') for line in left), "for who follows"


def test_a_guest_is_printed_as_libvirt_s_domain(mdsvc: Mdsvc) -> None:
    """R18; what the elements say has its own tests."""
    placed = mdsvc(*CREATE, stdin=guest()).json
    done = mdsvc("instance", "xml", UUID.upper())
    assert (done.code, done.err) == (0, "")
    domain = ET.fromstring(done.out)  # noqa: S314  # our own
    assert (domain.tag, domain.findtext("uuid")) == ("domain", UUID)
    pins = {
        int(vcpu): str(pcpu)
        for cell in placed["layout"]["cells"]
        for vcpu, pcpu in cell["cpu_pinning"].items()
    }
    told = {int(pin.attrib["vcpu"]): pin.attrib["cpuset"] for pin in domain.iter("vcpupin")}
    assert {vcpu: told[vcpu] for vcpu in pins} == pins


def test_one_element_of_the_domain_can_be_printed_alone(mdsvc: Mdsvc) -> None:
    assert mdsvc(*CREATE, stdin=guest()).code == 0
    done = mdsvc("instance", "xml", UUID, "--only", "cputune")
    assert (done.code, done.err) == (0, "")
    assert ET.fromstring(done.out).tag == "cputune"  # noqa: S314  # our own


def test_no_guests_are_an_empty_list_and_a_word_to_people(mdsvc: Mdsvc) -> None:
    assert mdsvc("instance", "list", "--json").json == []
    assert "mdsvc instance create" in mdsvc("instance", "list").out


def test_a_host_is_filled_to_the_last_pcpu_and_no_further(mdsvc: Mdsvc) -> None:
    codes = [
        mdsvc(*CREATE, stdin=plain(number, flavor=flavor(2, 64, DEDICATED))).code
        for number in range(7)
    ]
    assert codes == [0] * 6 + [3]
    assert [c["pinned"] for c in mdsvc("host", "show", "h1", "--json").json["cells"]] == [
        "1-3,9-11",
        "5-7,13-15",
    ]


# ---- keys that nobody knows ----


def test_an_unknown_key_is_warned_of_and_the_guest_created(mdsvc: Mdsvc) -> None:
    new = guest(flavor=flavor(4, extra_specs={"hw:cpu_polcy": "dedicated"}))
    done = mdsvc("instance", "create", "-", "--json", stdin=new)
    assert (done.code, done.json["layout"]["cpu_policy"]) == (0, "shared")
    told = "hw:cpu_polcy='dedicated': expected a key that is known; the nearest is hw:cpu_policy"
    assert done.err == f"mdsvc: warning: {told}\n"


def test_where_unknown_keys_are_errors_no_guest_is_created(mdsvc: Mdsvc) -> None:
    new = guest(image={"properties": {"hw_cpu_polcy\n": "dedicated"}})
    done = mdsvc("instance", "create", "-", "--strict", stdin=new)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "hw_cpu_polcy" in done.err
    assert mdsvc("instance", "list", "--json").json == []


def test_a_guest_is_shown_with_whether_it_has_to_bring_tokens(mdsvc: Mdsvc) -> None:
    mdsvc(*CREATE, stdin=guest(tokens="required"))
    assert "session tokens required, which behind Neutron's agent shuts" in _shown(mdsvc, UUID)
    mdsvc(*CREATE, stdin=plain(1))
    assert "session tokens as is set for all guests" in _shown(mdsvc, plain(1)["uuid"])
    wrong = mdsvc(*CREATE, stdin=plain(2, tokens="sometimes"))
    assert (wrong.code, len(wrong.err.splitlines())) == (2, 1)
    assert "tokens: expected" in wrong.err
