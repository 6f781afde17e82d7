"""Where the operator's listener may be: TLS, Unix sockets, and open to nobody without a token."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mdsvc import server
from mdsvc.access import FRESH_SECONDS
from mdsvc.control.tokens import create_token
from mdsvc.errors import BadInput
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from tests.http.wire import Wire

HEAD = b"GET /v1/hosts HTTP/1.1\r\nHost: localhost\r\n"
ASK = HEAD + b"Connection: close\r\n\r\n"


def settings(operator: str = "127.0.0.1:0", **others: object) -> Settings:
    return Settings(**{"guest": ("127.0.0.1:0",), "operator": operator, **others})  # type: ignore[arg-type]


async def over(path: Path) -> bytes:
    """The first line of the answer on a Unix socket."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(ASK)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line


async def test_a_unix_socket_is_its_owners_and_goes_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    async with server.listeners(settings(f"unix:{path}"), MemoryStore()) as lines:
        assert lines[-1] == f"operator: unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await over(path) == b"HTTP/1.1 200 OK\r\n"
    assert not path.exists()


async def test_guests_may_be_asked_for_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "guests.sock"
    async with server.listeners(settings(guest=(f"unix:{path}",)), MemoryStore()) as lines:
        assert lines[0] == f"guests: unix:{path} (address)"
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert (await over(path)).startswith(b"HTTP/1.1 4")  # whose that is, no address tells
    assert not path.exists()


async def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    async with server.listeners(settings(f"unix:{path}"), MemoryStore()):
        assert await over(path) == b"HTTP/1.1 200 OK\r\n"
        with pytest.raises(BadInput, match=f"cannot listen on unix:{path}"):
            async with server.listeners(settings(f"unix:{path}"), MemoryStore()):
                pass
        assert await over(path) == b"HTTP/1.1 200 OK\r\n"


async def test_what_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(BadInput, match=f"cannot listen on unix:{path}"):
        async with server.listeners(settings(f"unix:{path}"), MemoryStore()):
            pass
    assert path.read_text() == "mine"


async def test_a_socket_that_another_server_has_put_there_since_stays(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    with socket.socket(socket.AF_UNIX) as other:
        async with server.listeners(settings(f"unix:{path}"), MemoryStore()):
            path.unlink()
            other.bind(str(path))
        assert path.is_socket()


@pytest.mark.parametrize(
    "where", ["unix:", "unix:operator.sock", "unix:/tmp/", "unix:/" + "x" * 200]
)
async def test_a_path_is_absolute_and_short(where: str) -> None:
    with pytest.raises((BadInput, ValueError), match="unix:"):
        async with server.listeners(settings(where), MemoryStore()):
            pass


@pytest.mark.parametrize("where", ["0.0.0.0:0", "[::]:0"])
async def test_others_can_reach_it_only_once_there_is_a_token(where: str) -> None:
    store = MemoryStore()
    with pytest.raises(BadInput, match="mdsvc token create NAME"):
        async with server.listeners(settings(where), store):
            pass
    issued = await create_token(store, "alice", read_only=False)
    async with server.listeners(settings(where), store) as lines:
        port = int(lines[-1].rpartition(":")[2])
        if where.startswith("0"):
            ask = Wire(port, "127.0.0.1")
            assert (await ask("/v1/hosts")).status == 401
            bearer = [("Authorization", f"Bearer {issued.token}")]
            assert (await ask("/v1/hosts", bearer)).status == 200


# ---- TLS ----


Make = Callable[[str], None]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a certificate of that name, and puts it where the server looks for it."""

    def it(name: str) -> None:
        files = [str(tmp_path / f"{name}.{end}") for end in ("pem", "key")]
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -noenc"
        subprocess.run(
            [*command.split(), "-subj", f"/CN={name}", "-out", files[0], "-keyout", files[1]],
            check=True,
            capture_output=True,
        )
        for made, used in zip(files, ("tls.pem", "tls.key"), strict=True):
            shutil.copy(made, tmp_path / used)

    return it


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """A connection, and the certificate that was shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return reader, writer, certificate


async def status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(HEAD + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
    return head.split()[1]


async def test_sighup_renews_the_certificate_and_costs_no_connection(
    tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    make("first")
    files: dict[str, Any] = {
        "tls_certificate": tmp_path / "tls.pem",
        "tls_key": tmp_path / "tls.key",
    }
    async with server.listeners(settings(**files), MemoryStore()) as lines:
        assert lines[-1].startswith("operator: https://127.0.0.1:")
        port = int(lines[-1].rpartition(":")[2])
        reader, writer, certificate = await connect(port)
        assert b"first" in certificate
        assert await status(reader, writer) == b"200"
        make("second")
        shutil.copy(tmp_path / "first.key", tmp_path / "tls.key")
        os.kill(os.getpid(), signal.SIGHUP)
        await _until(lambda: "tls.pem" in caplog.text)
        make("third")
        os.kill(os.getpid(), signal.SIGHUP)
        shown = b""
        for _ in range(500):
            _, other, shown = await connect(port)
            other.close()
            with suppress(ssl.SSLError, ConnectionError):
                await other.wait_closed()
            if b"third" in shown:
                break
            assert b"first" in shown
            await asyncio.sleep(0.02)
        assert b"third" in shown
        assert await status(reader, writer) == b"200"
        writer.close()
        await writer.wait_closed()


async def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


async def test_a_key_without_a_certificate_is_an_error() -> None:
    with pytest.raises(BadInput, match="tls_certificate"):
        async with server.listeners(settings(tls_key=Path("/tls.key")), MemoryStore()):
            pass


async def test_a_running_server_knows_new_tokens_soon() -> None:
    assert FRESH_SECONDS < 2
    store = MemoryStore()
    async with server.listeners(settings(), store) as lines:
        ask = Wire(int(lines[-1].rpartition(":")[2]), "127.0.0.1")
        assert (await ask("/v1/hosts")).status == 200
        await create_token(store, "alice", read_only=False)
        for _ in range(500):
            if (await ask("/v1/hosts")).status == 401:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the token is not known")
