"""`mdsvc serve` that cannot come up: exit 2, and one message that says why."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest

from mdsvc.app import guest_app
from mdsvc.errors import BadInput
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from mdsvc.store.sql.schema import VERSION
from mdsvc.waiting import Waiting
from tests.cli.command import Done, Mdsvc, process

GUEST, OPERATOR = ("--guest", "127.0.0.1:0"), ("--operator", "127.0.0.1:0")


def refused(done: Done) -> str:
    """The one message."""
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mdsvc: ")
    assert done.err[:-1].isprintable()
    return done.err


@pytest.mark.parametrize("secret", ["", ",", " ", "good,", "good, ,good"])
@pytest.mark.parametrize("identity", ["address", "neutron"])
def test_an_empty_secret_is_refused(
    mdsvc: Mdsvc, monkeypatch: pytest.MonkeyPatch, identity: str, secret: str
) -> None:
    monkeypatch.setenv("MDSVC_SHARED_SECRET", secret)
    message = refused(mdsvc("serve", "--identity", identity))
    assert message == "mdsvc: MDSVC_SHARED_SECRET: expected no empty secret\n"


def test_neutron_needs_a_secret(mdsvc: Mdsvc, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(mdsvc("serve", "--identity", "neutron"))
    assert message == "mdsvc: shared_secret: expected a secret, as identity is neutron\n"
    monkeypatch.setenv("MDSVC_IDENTITY", "neutron")
    assert "shared_secret: expected a secret" in refused(mdsvc("serve"))


def test_an_empty_secret_is_refused_by_the_process_too() -> None:
    done = process("serve", "--identity", "neutron", MDSVC_SHARED_SECRET="")
    assert refused(done) == "mdsvc: MDSVC_SHARED_SECRET: expected no empty secret\n"


@pytest.mark.parametrize("flag", ["--guest", "--operator"])
def test_a_port_in_use_is_refused(flag: str) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        where = f"127.0.0.1:{sock.getsockname()[1]}"
        others = OPERATOR if flag == "--guest" else GUEST
        message = refused(process("serve", "--store", "memory://", *others, flag, where))
    assert message.startswith(f"mdsvc: {flag[2:]}: cannot listen on {where}: ")
    assert "in use" in message


@pytest.mark.parametrize("where", ["", "here", "127.0.0.1", "127.0.0.1:65536", ":80", "[::1]"])
@pytest.mark.parametrize("flag", ["--guest", "--operator"])
def test_a_listener_that_is_none_is_named(mdsvc: Mdsvc, flag: str, where: str) -> None:
    message = refused(mdsvc("serve", flag, where))
    assert message.startswith(f"mdsvc: {flag}: expected ADDR:PORT")
    assert repr(where) in message


def test_a_store_of_each_process_is_refused_for_several(mdsvc: Mdsvc) -> None:
    message = refused(mdsvc("serve", "--store", "memory://", "--workers", "2"))
    assert message == "mdsvc: --workers: expected 1, as memory:// is each process's own\n"


def test_a_missing_namespace_is_refused() -> None:
    flags = ("--store", "memory://", *GUEST, *OPERATOR, "--netns", "mdsvc-nowhere")
    assert "in namespace mdsvc-nowhere" in refused(process("serve", *flags))


VENDOR_DATA = {
    "a list": (b"[]", "expected an object"),
    "no JSON": (b"{", "JSON"),
    "binary": (bytes(range(256)), "JSON"),
    "nothing": (b"", "JSON"),
    "a NUL": (b'{"a": "\\u0000"}', "NUL"),
    "deep nesting": (b'{"a":' + b"[" * 99 + b"]" * 99 + b"}", "64 levels"),
    "no file": (None, "No such file"),
}


@pytest.mark.parametrize(("data", "names"), VENDOR_DATA.values(), ids=VENDOR_DATA)
def test_bad_vendor_data_is_refused(tmp_path: Path, data: bytes | None, names: str) -> None:
    path = tmp_path / "vendor.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadInput, match=names) as error:
        guest_app(MemoryStore(), Settings(vendor_data=path), Waiting())
    assert str(error.value).startswith(f"vendor_data: {path}: ")


def test_bad_vendor_data_is_one_message() -> None:
    flags = ("--store", "memory://", *GUEST, *OPERATOR, "--vendor-data", "/")
    assert refused(process("serve", *flags)) == "mdsvc: vendor_data: /: Is a directory\n"


@pytest.mark.parametrize("args", [("serve",), ("host", "list"), ("instance", "list", "--json")])
def test_a_store_of_a_newer_program_is_refused_and_left_alone(
    with_guest: Mdsvc, file: Path, args: tuple[str, ...]
) -> None:
    database = sqlite3.connect(file)
    with database:
        database.execute("UPDATE meta SET value = value + 1 WHERE name = 'schema'")
    database.close()
    before = file.read_bytes()
    message = refused(with_guest(*args))
    assert f"--store {with_guest.url}: " in message
    assert f"its tables are of version {VERSION + 1}; expected {VERSION}" in message
    assert file.read_bytes() == before


@pytest.mark.parametrize("args", [("serve",), ("host", "list")])
def test_a_store_that_is_another_program_s_is_refused_and_left_alone(
    mdsvc: Mdsvc, file: Path, args: tuple[str, ...]
) -> None:
    database = sqlite3.connect(file)
    with database:
        database.execute("CREATE TABLE accounts (name TEXT)")
    database.close()
    before = file.read_bytes()
    assert f"--store {mdsvc.url}: " in refused(mdsvc(*args))
    assert file.read_bytes() == before
