"""Vendor data: `openstack/latest/vendor_data2.json`, key `mdsvc`, from a server or a drive."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from mdguest import sources
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.layout import Layout
from mdguest.sources import metadata
from mdguest.sources.server import Server
from mdguest.system import Ran, System

from tests.guest.sources.guest import META_DATA, FakeGuest, as_json
from tests.guest.sources.hostile import Clock, Hostile, http

VENDOR_DATA = "openstack/latest/vendor_data2.json"
PATH = f"/{VENDOR_DATA}"
PART = {"dedicated_cpus": "2-3", "shared_cpus": "0-1", "realtime_cpus": "3", "cpu_policy": "mixed"}
DOCUMENT = as_json({"static": {"a": 1}, "mdsvc": PART, "cloud-init": "#cloud-config\n{}\n"})
CPUS, REALTIME = CpuSet.parse("2-3"), CpuSet.parse("3")
DRIVE = "/dev/disk/by-label/config-2"

SILENT = {
    "no part of ours": {"static": {}},
    "a target that did not answer": {"mdsvc": {}},
    "a part for cloud-init": {"mdsvc": "#cloud-config\n"},
    "a list": {"mdsvc": ["#cloud-config\n"]},
    "a part without CPUs": {"mdsvc": {"generation": 3}},
}


@pytest.fixture(autouse=True)
def usual_address(monkeypatch: pytest.MonkeyPatch, server: Hostile) -> None:
    monkeypatch.setattr(metadata, "USUAL", Server("127.0.0.1", server.port))


# ---- named ----


def test_a_server_s_part_is_a_layout(server: Hostile, clock: Clock, guest: FakeGuest) -> None:
    server.answers[PATH] = [http(DOCUMENT), http(DOCUMENT)]
    said = Layout(CPUS, f"vendordata:{server.url}", realtime=REALTIME)
    assert sources.read(f"vendordata:{server.url}", guest, clock.patience()) == said
    assert sources.read("vendordata", guest, clock.patience()) == said
    assert server.paths == [PATH, PATH]


@pytest.mark.parametrize("document", SILENT.values(), ids=SILENT)
def test_what_is_no_layout_of_ours_says_nothing(
    server: Hostile, clock: Clock, guest: FakeGuest, document: object
) -> None:
    server.answers[PATH] = [http(as_json(document))]
    found = sources.read("vendordata", guest, clock.patience())
    assert found == Layout(None, f"vendordata:{server.url}")


def test_a_server_without_vendor_data_says_nothing(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    assert sources.read("vendordata", guest, clock.patience()).dedicated is None


GARBAGE = (b"", b"[]", b"\xff", as_json({"mdsvc": {"dedicated_cpus": "two"}}))


@pytest.mark.parametrize("data", GARBAGE, ids=[repr(data[:9]) for data in GARBAGE])
def test_garbage_is_bad_input_that_names_the_document(
    server: Hostile, clock: Clock, guest: FakeGuest, data: bytes
) -> None:
    server.answers[PATH] = [http(data)]
    with pytest.raises(BadInput, match=f"^{server.url}{PATH}"):
        sources.read("vendordata", guest, clock.patience())
    guest.files[f"{DRIVE}/{VENDOR_DATA}"] = data
    with pytest.raises(BadInput, match=f"^{DRIVE}/{VENDOR_DATA}"):
        sources.read(f"vendordata:{DRIVE}", guest)


def test_a_wrong_realtime_set_is_named(guest: FakeGuest) -> None:
    part = {"dedicated_cpus": "2", "realtime_cpus": "x"}
    guest.files[f"{DRIVE}/{VENDOR_DATA}"] = as_json({"mdsvc": part})
    with pytest.raises(BadInput, match="mdsvc: realtime_cpus is neither a CPU list"):
        sources.read(f"vendordata:{DRIVE}", guest)


def test_a_drive_s_part_is_a_layout(tmp_path: Path) -> None:
    (tmp_path / VENDOR_DATA).parent.mkdir(parents=True)
    (tmp_path / VENDOR_DATA).write_bytes(DOCUMENT)
    choice = f"vendordata:{tmp_path}"
    assert sources.read(choice, System()) == Layout(CPUS, choice, realtime=REALTIME)
    (tmp_path / VENDOR_DATA).unlink()
    assert sources.read(choice, System()) == Layout(None, choice)


def test_a_drive_that_is_not_mounted_is_read_like_its_metadata(guest: FakeGuest) -> None:
    def unshare(*command: str) -> Ran:
        assert VENDOR_DATA in command
        return Ran(0, base64.encodebytes(DOCUMENT).decode().rstrip("\n"), "")

    guest.files["/dev/sr0"] = b""
    guest.programs["unshare"] = unshare
    assert sources.read("vendordata:/dev/sr0", guest).dedicated == CPUS
    guest.programs["unshare"] = lambda *_command: Ran(44, "", "")
    assert sources.read("vendordata:/dev/sr0", guest).dedicated is None


def test_without_a_server_the_drive_is_read(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, guest: FakeGuest
) -> None:
    monkeypatch.setattr(metadata, "USUAL", Server("127.0.0.1", 1))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1.*; no device has the label config-2"):
        sources.read("vendordata", guest, clock.patience())
    guest.files[f"{DRIVE}/{VENDOR_DATA}"] = DOCUMENT
    assert sources.read("vendordata", guest, clock.patience()).source == f"vendordata:{DRIVE}"
    with pytest.raises(Unreachable):
        sources.read("vendordata:http://127.0.0.1:1", guest, clock.patience())


# ---- in turn: beside the document of the same place ----


def test_a_server_whose_own_documents_say_nothing_is_asked_for_its_vendor_data(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    server.answers[f"/{META_DATA}"] = [http('{"uuid": "u"}')]
    server.answers[PATH] = [http(DOCUMENT)]
    found = sources.read(None, guest, clock.patience())
    assert found == Layout(CPUS, f"vendordata:{server.url}", realtime=REALTIME)


def test_what_nova_says_itself_comes_before_vendor_data(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    server.answers[f"/{META_DATA}"] = [http('{"dedicated_cpus": []}')]
    server.answers[PATH] = [http(DOCUMENT)]
    found = sources.read(None, guest, clock.patience())
    assert found == Layout(CpuSet(), f"metadata:{server.url}")
    assert PATH not in server.paths


@pytest.mark.parametrize("answer", [http("no", 404), http("no", 403), http("{}")])
def test_where_neither_says_anything_an_older_drive_does_not_speak_in_their_place(
    server: Hostile, clock: Clock, guest: FakeGuest, answer: bytes
) -> None:
    server.answers[f"/{META_DATA}"] = [http('{"uuid": "u"}')]
    server.answers[PATH] = [answer]
    guest.files[f"{DRIVE}/{VENDOR_DATA}"] = DOCUMENT
    assert sources.read(None, guest, clock.patience()) == Layout(None, f"metadata:{server.url}")


def test_vendor_data_that_cannot_be_had_now_are_not_taken_for_silence(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    server.answers[f"/{META_DATA}"] = [http('{"uuid": "u"}')] * 3
    server.answers[PATH] = [http("", 503)] * 9
    with pytest.raises(Unavailable, match=PATH):
        sources.read(None, guest, clock.patience())


def test_a_drive_whose_metadata_say_nothing_is_asked_for_its_vendor_data(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, guest: FakeGuest
) -> None:
    monkeypatch.setattr(metadata, "USUAL", Server("127.0.0.1", 1))
    guest.files[f"{DRIVE}/{META_DATA}"] = b'{"uuid": "u"}'
    guest.files[f"{DRIVE}/{VENDOR_DATA}"] = DOCUMENT
    said = Layout(CPUS, f"vendordata:{DRIVE}", realtime=REALTIME)
    assert sources.read(None, guest, clock.patience()) == said
    assert sources.read_drive(guest, clock.patience()) == said
