"""What ``--store`` may say, and the one clear message where it may not."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from pathlib import Path

import pytest

from mdsvc.errors import BadInput
from mdsvc.store.sql import engines, open_sql, urls
from mdsvc.store.sql.schema import VERSION

from .values import fill, host

EXPECTED = f"expected {engines.EXPECTED}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def content(path: Path) -> bytes:
    return path.read_bytes()


async def told(url: str) -> str:
    """What opening that URL is refused with."""
    with pytest.raises(BadInput) as raised:
        await open_sql(url)
    message = str(raised.value)
    assert "\n" not in message
    assert raised.value.__cause__ is None
    return message


@pytest.mark.parametrize("url", ["sqlite:///x.db", "sqlite:///./x.db", "sqlite:///{here}/x.db"])
async def test_a_path_may_be_relative_or_absolute(here: Path, url: str) -> None:
    store = await open_sql(url.format(here=here))
    await fill(store, host())
    await store.close()
    assert names(here) == ["x.db"], "the log is gone once it is closed"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("", EXPECTED),
        ("store.db", EXPECTED),
        ("/var/lib/store.db", EXPECTED),
        ("http://[", "expected hosts as NAME:PORT or [IPv6]:PORT"),
        ("oracle://db/mdsvc", f"oracle is not known; {EXPECTED}"),
        ("sqlite", EXPECTED),
        ("sqlite:", EXPECTED),
        ("sqlite://", "expected the path of a file: sqlite:///relative.db"),
        ("sqlite:///", "expected the path of a file: "),
        ("sqlite://relative.db", "expected the path of a file: "),
        ("sqlite:///:memory:", "expected the path of a file: "),
        ("sqlite:///x.db?mode=ro", "expected the path of a file: "),
        ("sqlite:///x\0.db", "expected the path of a file: "),
        ("sqlite:///none/x.db", "but there is no directory none"),
        ("sqlite:///no@ne/x.db", "but there is no directory no@ne"),
        ("sqlite:///.", "expected a file, but . is none"),
        ("sqlite:////dev/null", "expected a file, but /dev/null is none"),
    ],
)
async def test_a_bad_url_is_told_in_one_line(here: Path, url: str, what: str) -> None:
    message = await told(url)
    assert message.startswith(f"--store {url}: ")
    assert what in message
    assert names(here) == [], "nothing is made of it"


async def test_user_and_password_are_not_repeated(here: Path) -> None:
    message = await told("oracle://scott:ti/g@er@db/x")
    assert message.startswith("--store oracle://***@db/x: ")
    assert "ti/g" not in message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://scott:ti\nger@127.0.0.1:1/x",
        "postgresql://scott@127.0.0.1:1/x?password=ti%0Ager",
        "mysql://scott@127.0.0.1:1/x?connections=4&PASSWD=ti&sslpassword=ger",
        "mysql://sc\nott:ti\nger@127.0.0.1:1/x",
    ],
)
def test_no_form_of_a_password_is_repeated(url: str) -> None:
    for text in (urls.shown(url), urls.without_password(url.partition("?")[0])):
        assert not {"ti", "ger"} & set(re.split(r"\W|0A", text)), text


async def test_a_path_that_the_system_refuses_is_told(here: Path) -> None:
    assert f"expected a file that can be used: {os.strerror(errno.ENAMETOOLONG)}" in await told(
        f"sqlite:///{'x' * 300}.db"
    )


@pytest.fixture(params=[b"no database\n" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def no_database(request: pytest.FixtureRequest, here: Path) -> Path:
    path = here / "x.db"
    path.write_bytes(request.param)
    return path


async def test_a_file_that_is_no_database_is_told_and_kept(no_database: Path) -> None:
    before = content(no_database)
    message = await told(f"sqlite:///{no_database}")
    assert "expected a database of mdsvc, or none yet; " in message
    assert "file is not a database" in message
    assert content(no_database) == before


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("CREATE TABLE recipes (name TEXT)", "the database is another program's"),
        ("CREATE TABLE meta (key TEXT)", "no such column"),
        ("CREATE TABLE meta (name TEXT, value INTEGER)", f"version None; expected {VERSION}"),
        (
            "CREATE TABLE meta (name TEXT, value INTEGER); INSERT INTO meta VALUES ('schema', 99)",
            f"its tables are of version 99; expected {VERSION}",
        ),
    ],
)
async def test_a_database_of_something_else_is_told_and_kept(
    here: Path, script: str, what: str
) -> None:
    file = sqlite3.connect("x.db")
    file.executescript(script)
    file.close()
    before = content(here / "x.db")
    assert what in await told("sqlite:///x.db")
    assert content(here / "x.db") == before


async def test_a_file_that_cannot_be_written_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The permissions are faked: root may write everywhere."""
    sqlite3.connect("x.db").close()
    monkeypatch.setattr("os.access", lambda path, _mode: path != here / "x.db")
    assert "x.db cannot" in await told(f"sqlite:///{here}/x.db")
    monkeypatch.setattr("os.access", lambda path, _mode: path != here)
    assert f"{here} cannot" in await told(f"sqlite:///{here}/y.db")
