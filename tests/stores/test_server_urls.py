"""What the URL of a database server may say; nothing is connected to for it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from mdsvc.errors import BadInput, Unavailable
from mdsvc.store.sql import connecting, open_sql, tls, urls
from mdsvc.store.sql.hosts import REST_SECONDS, Hosts, NotNow
from mdsvc.store.sql.urls import Host


def test_the_parts_of_a_url() -> None:
    url = urls.parse("mysql://ops:p%40s%3As@h1:3306,[2001:db8::1]:3307,h3/my%20db?sslmode=require")
    assert (url.user, url.password, url.database) == ("ops", "p@s:s", "my db")
    assert url.hosts == (Host("h1", 3306), Host("2001:db8::1", 3307), Host("h3", None))
    assert url.options == {"sslmode": "require"}
    assert "p@s" not in repr(url)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    ("rest", "what"),
    [
        ("//", "expected {}://USER@HOST:PORT/DATABASE"),
        ("//ops@h1", "expected {}://USER@HOST:PORT/DATABASE"),
        ("//h1/db", "expected {}://USER@HOST:PORT/DATABASE"),
        ("//ops@/db", "expected {}://USER@HOST:PORT/DATABASE"),
        ("//ops@h1/db/x", "expected {}://USER@HOST:PORT/DATABASE"),
        ("//ops:s3cr3t@h1:0/db", "expected hosts as NAME:PORT"),
        ("//ops:s3cr3t@h1:65536/db", "expected hosts as NAME:PORT"),
        ("//ops:s3cr3t@h1,,h2/db", "expected hosts as NAME:PORT"),
        ("//ops:s3cr3t@[::1/db", "expected hosts as NAME:PORT"),
        ("//ops:s3/cr3t@h1/db", "%2F"),
        ("//ops:s3cr3t@h1/db?ssl=1", "ssl is no option of the URL; expected sslmode"),
        ("//ops:s3cr3t@h1/db?sslmode=on", "sslmode: expected disable, require, verify-ca"),
        ("//ops:s3cr3t@h1/db?sslmode=require&sslmode=disable", "each option of the URL once"),
        ("//ops:s3cr3t@h1/db?sslrootcert=/nowhere", "sslrootcert: expected a file of"),
        ("//ops:s3cr3t@h1/db?ssl_ca=/nowhere", "sslrootcert: expected a file of"),
        ("//ops:s3cr3t@h1/db?sslmode=disable&sslrootcert=x", "sslrootcert: expected another"),
        ("//ops:s3cr3t@h1/db?sslkey=x", "sslkey: expected the certificate beside it"),
        ("//ops:s3cr3t@h1/db?connections=0", "connections: expected a whole number from 1 to 100"),
        ("//ops:s3cr3t@h1/db?connections=many", "connections: expected a whole number"),
    ],
)
def test_a_bad_url_is_named_without_its_password(scheme: str, rest: str, what: str) -> None:
    with pytest.raises(BadInput) as refused:
        asyncio.run(open_sql(f"{scheme}:{rest}"))
    message = str(refused.value)
    assert what.format(scheme) in message
    assert "s3" not in message
    assert "cr3t" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("options", "verifies", "checks_name"),
    [
        ({"sslmode": "require"}, ssl.CERT_NONE, False),
        ({"sslmode": "verify-ca"}, ssl.CERT_REQUIRED, False),
        ({"sslmode": "verify-full"}, ssl.CERT_REQUIRED, True),
    ],
)
def test_each_mode_checks_what_it_says(
    options: dict[str, str], verifies: ssl.VerifyMode, checks_name: bool
) -> None:
    context = tls.context(options)
    assert context
    assert (context.verify_mode, context.check_hostname) == (verifies, checks_name)


def test_without_options_there_is_no_tls() -> None:
    assert tls.context({}) is None
    assert tls.context({"sslmode": "disable"}) is None
    assert tls.context({"connections": "3"}) is None


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    for option in ("sslrootcert", "sslcert"):
        with pytest.raises(BadInput, match=f"{option}: expected a file of"):
            tls.context({option: str(file)})


def test_a_command_that_mends_a_store_has_no_password() -> None:
    url = "mysql://ops:s3cr3t@h1:3306,h2/db?sslmode=require"
    assert urls.without_password(url) == "mysql://ops@h1:3306,h2/db?sslmode=require"
    assert urls.shown(url) == "mysql://***@h1:3306,h2/db?sslmode=require"


async def test_the_engines_of_a_url_show_no_password() -> None:
    engines = connecting.connect("postgresql://ops:s3cr3t@h1/db")
    assert "s3cr3t" not in repr(engines)
    await engines.dispose()


# ---- several hosts ----


async def test_hosts_are_tried_in_order_and_one_that_failed_comes_last_for_a_while() -> None:
    now = 0.0
    down = {"a"}
    tried: list[str] = []

    async def connect(host: Host) -> str:
        tried.append(host.name)
        if host.name in down:
            raise NotNow("it is down")
        return host.name

    hosts = Hosts([Host(name, None) for name in "abc"], lambda: now)
    assert await hosts.first(connect) == "b"
    assert await hosts.first(connect) == "b"
    assert tried == ["a", "b", "b"]
    down.clear()
    now = REST_SECONDS + 1.0
    assert await hosts.first(connect) == "a"
    down |= set("abc")
    with pytest.raises(Unavailable, match=r"a: it is down; b: it is down; c: it is down"):
        await hosts.first(connect)
