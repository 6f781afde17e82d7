"""What a guest has stored as its password can be read and forgotten by the operator."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess

import pytest

from mdsvc.app import open_store
from tests.cli.command import MDSVC, Mdsvc, environment
from tests.cli.values import OTHER_UUID, UUID, guest, host

PASSWORD = ("instance", "password")
BLOB = bytes(range(256))


@pytest.fixture
def mdsvc(mdsvc: Mdsvc) -> Mdsvc:
    assert mdsvc("host", "add", "-", stdin=host()).code == 0
    assert mdsvc("instance", "create", "-", stdin=guest()).code == 0
    return mdsvc


def post(url: str, password: bytes) -> bool:
    """What the guest's POST does."""

    async def store() -> bool:
        opened = await open_store(url)
        try:
            return await opened.set_password(UUID, password)
        finally:
            await opened.close()

    return asyncio.run(store())


@pytest.mark.parametrize("password", [b"c2VjcmV0", b"c2VjcmV0\n", "größe".encode()])
def test_a_password_is_printed_as_the_guest_sent_it(mdsvc: Mdsvc, password: bytes) -> None:
    assert post(mdsvc.url, password)
    done = mdsvc(*PASSWORD, UUID.upper())
    assert (done.code, done.err, done.out) == (0, "", password.decode())
    found = mdsvc(*PASSWORD, UUID, "--json")
    assert found.json == {"uuid": UUID, "password": password.decode()}


@pytest.mark.parametrize("password", [BLOB, b"\0", b"\xff"])
def test_bytes_that_are_no_text_are_base64_in_json(mdsvc: Mdsvc, password: bytes) -> None:
    assert post(mdsvc.url, password)
    encoded = base64.b64encode(password).decode()
    assert mdsvc(*PASSWORD, UUID, "--json").json["password"] == {"base64": encoded}


def test_a_terminal_gets_no_control_characters_of_a_guest(mdsvc: Mdsvc) -> None:
    assert post(mdsvc.url, b"\x1b[2Jabc")
    ours, its = os.openpty()
    env = environment(MDSVC_STORE=mdsvc.url)
    subprocess.run([MDSVC, *PASSWORD, UUID], stdout=its, env=env, check=True, timeout=60)
    assert os.read(ours, 100) == b"\\x1b[2Jabc\r\n"
    os.close(its)
    os.close(ours)


def test_a_password_that_is_cleared_can_be_stored_again(mdsvc: Mdsvc) -> None:
    assert post(mdsvc.url, b"first")
    assert not post(mdsvc.url, b"second")
    done = mdsvc(*PASSWORD, UUID, "--clear")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert post(mdsvc.url, b"second")
    assert mdsvc(*PASSWORD, UUID).out == "second"
    assert mdsvc(*PASSWORD, UUID, "--clear", "--json").json == {"uuid": UUID, "deleted": True}


@pytest.mark.parametrize("flags", [(), ("--clear",), ("--json",)])
def test_where_there_is_none_it_is_not_found(mdsvc: Mdsvc, flags: tuple[str, ...]) -> None:
    for uuid, why in ((UUID, "it has stored no password"), (OTHER_UUID, "no such instance")):
        done = mdsvc(*PASSWORD, uuid, *flags)
        assert (done.code, done.out) == (4, "")
        assert f"instance {uuid}: {why}" in done.err
