"""TLS: files are read at the start and at SIGHUP; wrong ones are named, and cost no connection."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from mdsvc.errors import BadInput
from mdsvc.listening.tls import Tls


class Files(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path

    def become(self, other: Files) -> None:
        for mine, its in zip(self, other, strict=True):
            shutil.copy(its, mine)


def make(folder: Path, name: str, *options: str) -> Files:
    """A certificate of its own for localhost, by OpenSSL."""
    files = Files(folder / f"{name}.pem", folder / f"{name}.key")
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(files.key), "-out", str(files.certificate), *(options or ("-noenc",))),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def old(folder: Path) -> Files:
    return make(folder, "old")


@pytest.fixture(scope="module")
def new(folder: Path) -> Files:
    return make(folder, "new")


@pytest.fixture
def files(old: Files, tmp_path: Path) -> Files:
    copied = Files(tmp_path / "tls.pem", tmp_path / "tls.key")
    copied.become(old)
    return copied


def test_one_file_may_have_both(old: Files, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(old.certificate.read_bytes() + old.key.read_bytes())
    assert Tls(both, None).context.get_ca_certs() == []


def test_a_file_that_is_not_there_is_named(old: Files, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(BadInput, match=rf"tls_certificate {missing}: No such file"):
        Tls(missing, old.key)
    with pytest.raises(BadInput, match=rf"tls_key {missing}: No such file"):
        Tls(old.certificate, missing)
    with pytest.raises(BadInput, match=f"tls_key {tmp_path}: Is a directory"):
        Tls(old.certificate, tmp_path)


def test_files_that_are_none_or_not_of_each_other_are_named(
    old: Files, new: Files, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    locked = make(tmp_path, "locked", "-passout", "pass:secret")
    for certificate, key in (
        (old.certificate, new.key),
        (old.certificate, nothing),
        (nothing, old.key),
        (old.key, old.certificate),
        (locked.certificate, locked.key),
        (old.certificate, None),
    ):
        with pytest.raises(BadInput, match=f"tls_certificate {certificate}: expected") as refused:
            Tls(certificate, key)
        assert "\n" not in str(refused.value)


async def subject(port: int) -> str:
    """Whom the server says that it is, to a new connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return "new" if b"new" in certificate else "old"


async def test_a_new_certificate_is_for_new_connections_and_a_wrong_one_for_none(
    files: Files, new: Files
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    tls = Tls(*files)
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.context)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(files.certificate))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trusting, server_hostname="localhost"
    )

    async def goes_on() -> None:
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"

    await goes_on()
    shutil.copy(new.certificate, files.certificate)  # and not its key
    with pytest.raises(BadInput, match=f"tls_certificate {files.certificate}"):
        tls.reload()
    assert await subject(port) == "old"
    await goes_on()
    files.become(new)
    tls.reload()
    assert await subject(port) == "new"
    await goes_on()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
