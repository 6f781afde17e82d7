"""TLS to servers with a certificate of their own for `localhost`, on both kinds of server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mdsvc.errors import Unavailable
from mdsvc.store.sql import open_sql

from .conftest import SERVERS
from .servers import mariadb as of_mariadb
from .servers import postgresql as of_postgresql
from .servers.mariadb import MariaDb
from .servers.postgresql import PostgreSql
from .servers.process import new_folder


class Certificate(NamedTuple):
    file: Path
    key: Path


def make_certificate(folder: Path, user: str) -> Certificate:
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(made.key), "-out", str(made.file)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*command, *name, *files], check=True, capture_output=True)
    made.key.chmod(0o600)
    if os.geteuid() == 0:
        for file in made:
            shutil.chown(file, user, user)
    return made


@pytest.fixture(params=SERVERS)
def secured(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path]]:
    """The URL of a database by the server's address, and the certificate."""
    is_mariadb = request.param == "mariadb"
    user = of_mariadb.USER if is_mariadb else of_postgresql.USER
    folder = new_folder(user)
    certificate = make_certificate(folder, user)
    server = _mariadb(certificate) if is_mariadb else _postgresql(certificate)
    yield server.new_database(), certificate.file
    server.remove()
    shutil.rmtree(folder)


def _postgresql(certificate: Certificate) -> PostgreSql:
    server = PostgreSql()
    server.end()
    files = {"ssl_cert_file": str(certificate.file), "ssl_key_file": str(certificate.key)}
    server.start(ssl="on", **files)
    return server


def _mariadb(certificate: Certificate) -> MariaDb:
    server = MariaDb()
    server.start(**{"ssl-cert": str(certificate.file), "ssl-key": str(certificate.key)})
    server.make_user()
    return server


IS_ENCRYPTED = {
    "postgresql": "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mysql": "SELECT variable_value <> '' FROM information_schema.session_status"
    " WHERE variable_name = 'Ssl_cipher'",
}


async def is_encrypted(url: str) -> bool:
    store = await open_sql(url)
    async with store._engines.reads.connect() as connection:
        query = IS_ENCRYPTED[url.partition(":")[0]]
        told = (await connection.exec_driver_sql(query)).scalar_one()
    await store.close()
    return bool(told)


async def test_each_mode_does_what_it_says(secured: tuple[str, Path]) -> None:
    by_address, file = secured
    by_name = by_address.replace("127.0.0.1", "localhost")
    assert not await is_encrypted(by_address)
    for url in (
        f"{by_address}?sslmode=require",
        f"{by_address}?sslmode=verify-ca&ssl_ca={file}",
        f"{by_name}?sslrootcert={file}",
    ):
        assert await is_encrypted(url)
    for url in (
        f"{by_address}?sslmode=verify-full&sslrootcert={file}",
        f"{by_name}?sslmode=verify-ca",
    ):
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await open_sql(url)
