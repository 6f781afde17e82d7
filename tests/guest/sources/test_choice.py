"""`--source`, and without it the sources in turn."""

from __future__ import annotations

import subprocess
import sys

import pytest
from mdguest import sources
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.layout import Layout
from mdguest.sources import metadata
from mdguest.sources.server import Server
from mdguest.system import Ran

from tests.guest.sources.guest import INSTANCE, META_DATA, FakeGuest, as_json
from tests.guest.sources.hostile import LAYOUT, Clock, Hostile, http

GOOD = (
    "metadata", "metadata:", "metadata:http://10.0.0.1:8775", "metadata:http://[fe80::1%eth0]/x",
    "config-drive", "config-drive:/dev/sr0", "config-drive:a/b:c", "cloud-init", "cloud-init:",
    "vendordata", "vendordata:", "vendordata:http://10.0.0.1", "vendordata:/dev/sr0",
    "file:/etc/cpus", "file:a:b",
)  # fmt: skip
BAD = {
    "": "expected one of",
    "Metadata": "expected one of",
    "http://10.0.0.1": "expected one of",
    "files:/x": "expected one of",
    "file": "expected file:PATH",
    "file:": "expected file:PATH",
    "cloud-init:/run": "expected cloud-init alone",
    "metadata:10.0.0.1": "expected http://HOST",
    "vendordata:10.0.0.1": "--source vendordata: expected http://HOST",
    "vendordata:https://10.0.0.1": "--source vendordata: expected http://HOST",
    "metadata:https://10.0.0.1": "expected http://HOST",
    "metadata:http://": "expected http://HOST",
    "metadata:http://a b": "expected http://HOST",
    "metadata:http://a:70000": "expected http://HOST",
    "metadata:http://a:0": "expected http://HOST",
    "metadata:http://u:p@a": "expected http://HOST",
    "metadata:http://a?x": "expected http://HOST",
    "metadata:http://a\r\nX: y": "expected http://HOST",
    "metadata:http://[::1": "expected http://HOST",
    "metadata:http://a..b": "expected http://HOST",
    f"metadata:http://{'a' * 64}": "expected http://HOST",
    "metadata:http://ä": "expected http://HOST",
}


@pytest.mark.parametrize("choice", [None, *GOOD])
def test_good_forms_are_taken(choice: str | None) -> None:
    sources.check(choice)


@pytest.mark.parametrize(("choice", "why"), BAD.items(), ids=map(repr, BAD))
def test_others_are_bad_usage_that_names_the_forms(choice: str, why: str, guest: FakeGuest) -> None:
    with pytest.raises(BadInput, match=r"^--source") as caught:
        sources.check(choice)
    assert why in str(caught.value)
    with pytest.raises(BadInput, match=r"^--source"):
        sources.read(choice, guest)
    assert str(caught.value).isprintable()


def test_the_forms_are_those_of_the_contract() -> None:
    assert sources.FORMS == (
        "metadata[:http://HOST[:PORT][/PATH]], config-drive[:DEVICE], "
        "vendordata[:http://HOST[:PORT][/PATH]|:/DEVICE], cloud-init, file:PATH"
    )


# ---- in turn ----

DRIVE = "/dev/disk/by-label/config-2"


@pytest.fixture(autouse=True)
def usual_address(monkeypatch: pytest.MonkeyPatch, server: Hostile) -> None:
    monkeypatch.setattr(metadata, "USUAL", Server("127.0.0.1", server.port))


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "USUAL", Server("127.0.0.1", 1))


def with_drive(guest: FakeGuest, document: bytes) -> FakeGuest:
    guest.files[f"{DRIVE}/{META_DATA}"] = document
    return guest


def with_cloud_init(guest: FakeGuest, value: object) -> FakeGuest:
    guest.files[INSTANCE] = as_json({"ds": {"meta_data": {"dedicated_cpus": value}}})
    return guest


def test_the_server_comes_first(server: Hostile, clock: Clock, guest: FakeGuest) -> None:
    server.answers[LAYOUT] = [http('{"dedicated_cpus": "1"}')]
    with_cloud_init(with_drive(guest, b'{"dedicated_cpus": "2"}'), "3")
    assert sources.read(None, guest, clock.patience()).dedicated == CpuSet.parse("1")


def test_the_server_counts_also_where_it_says_nothing(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    with_cloud_init(with_drive(guest, b'{"dedicated_cpus": "2"}'), "3")
    found = sources.read(None, guest, clock.patience())
    assert found == Layout(None, f"metadata:{server.url}")


@pytest.mark.parametrize(
    ("answer", "error"),
    [(http("<html>"), BadInput), (http("", 503), Unavailable), (b"", Unavailable)],
)
def test_a_server_that_answers_badly_is_not_passed_over(
    server: Hostile, clock: Clock, guest: FakeGuest, answer: bytes, error: type[Exception]
) -> None:
    server.otherwise = answer
    with_cloud_init(with_drive(guest, b'{"dedicated_cpus": "2"}'), "3")
    with pytest.raises(error, match=server.url):
        sources.read(None, guest, clock.patience())


def test_a_server_that_refuses_everything_is_passed_over(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    server.otherwise = http("", 403)
    with pytest.raises(Unreachable, match="HTTP 403"):
        sources.read(None, guest, clock.patience())
    with_drive(guest, b'{"dedicated_cpus": "2"}')
    assert sources.read(None, guest, clock.patience()).dedicated == CpuSet.parse("2")


def test_a_zone_that_is_no_name_is_not_found(clock: Clock, guest: FakeGuest) -> None:
    for zone in ("a..b", "z" * 70):
        with pytest.raises(Unreachable):
            sources.read(f"metadata:http://[fe80::1%{zone}]", guest, clock.patience())


@pytest.mark.usefixtures("no_server")
def test_the_drive_comes_next(clock: Clock, guest: FakeGuest) -> None:
    with_cloud_init(with_drive(guest, b'{"dedicated_cpus": [2]}'), "3")
    found = sources.read(None, guest, clock.patience())
    assert found == Layout(CpuSet.parse("2"), f"config-drive:{DRIVE}")


@pytest.mark.usefixtures("no_server")
def test_the_drive_counts_also_where_it_says_nothing(clock: Clock, guest: FakeGuest) -> None:
    with_cloud_init(with_drive(guest, b"{}"), "3")
    assert sources.read(None, guest, clock.patience()).dedicated is None


@pytest.mark.usefixtures("no_server")
def test_a_drive_with_garbage_is_not_passed_over(clock: Clock, guest: FakeGuest) -> None:
    with_cloud_init(with_drive(guest, b"garbage"), "3")
    with pytest.raises(BadInput, match=DRIVE):
        sources.read(None, guest, clock.patience())


@pytest.mark.usefixtures("no_server")
def test_a_drive_that_cannot_be_mounted_is_not_passed_over(clock: Clock, guest: FakeGuest) -> None:
    guest.programs["blkid"] = lambda *_command: Ran(0, "/dev/sr0", "")
    guest.files["/dev/sr0"] = b""
    with pytest.raises(Unavailable, match="/dev/sr0 is there, but"):
        sources.read(None, with_cloud_init(guest, "3"), clock.patience())


@pytest.mark.usefixtures("no_server")
def test_cloud_init_comes_last(clock: Clock, guest: FakeGuest) -> None:
    found = sources.read(None, with_cloud_init(guest, "3"), clock.patience())
    assert found == Layout(CpuSet.parse("3"), "cloud-init")


@pytest.mark.usefixtures("no_server")
def test_where_none_is_there_one_message_says_what_became_of_each(
    clock: Clock, guest: FakeGuest
) -> None:
    with pytest.raises(Unreachable) as caught:
        sources.read(None, guest, clock.patience())
    assert str(caught.value) == (
        "no source is there (metadata: http://127.0.0.1:1: Connection refused; "
        "IPv6: no interface has a link-local address; "
        "config-drive: no device has the label config-2; "
        "cloud-init: /run/cloud-init/instance-data.json: no such file)"
    )
    assert caught.value.exit_status == 4


@pytest.mark.usefixtures("no_server")
def test_in_turn_nobody_s_door_is_knocked_at_twice(clock: Clock, guest: FakeGuest) -> None:
    for choice, pauses in ((None, 0), ("metadata", 2)):
        clock.slept.clear()
        with pytest.raises(Unreachable):
            sources.read(choice, guest, clock.patience())
        assert len(clock.slept) == pauses


def test_by_default_a_boot_is_not_held_up_for_long() -> None:
    """Without a server, by the time to connect twice; with a slow one, by ``total``."""
    assert 2 * sources.PATIENCE.connect <= 4
    assert sources.PATIENCE.total + sources.PATIENCE.connect < 25


def test_heavy_modules_are_imported_only_where_they_are_used() -> None:
    """Boot reads the layout early; Debian's smallest Python has not all of them."""
    names = "http.client", "json", "ssl", "email", "threading", "random", "tempfile", "selectors"
    code = f"import sys, mdguest.sources; print(*sys.modules.keys() & {set(names)})"
    command = [
        sys.executable,
        "-S",
        "-c",
        f"sys = __import__('sys'); sys.path[:] = {sys.path}; {code}",
    ]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"selectors\n"
