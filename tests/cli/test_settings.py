"""Where the store is: the flag, else the environment, else the file, else the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Mdsvc
from tests.cli.values import host

LIST = ("host", "list", "--json")


class Places:
    """Stores with one host each, which is named as its place."""

    def __init__(self, directory: Path, mdsvc: Mdsvc) -> None:
        self.directory = directory
        self._mdsvc = mdsvc

    def make(self, name: str) -> str:
        url = f"sqlite:///{self.directory}/{name}.db"
        assert self._mdsvc("host", "add", "-", "--store", url, stdin=host(name)).code == 0
        return url


@pytest.fixture
def places(mdsvc: Mdsvc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.delenv("MDSVC_STORE")
    monkeypatch.chdir(tmp_path)
    return Places(tmp_path, mdsvc)


def _found(mdsvc: Mdsvc, *args: str) -> list[str]:
    done = mdsvc(*LIST, *args)
    assert (done.code, done.err) == (0, "")
    return [found["name"] for found in done.json]


def test_the_later_source_wins(
    mdsvc: Mdsvc, places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "mdsvc.toml"
    config.write_text(f'store = "{places.make("file")}"\n')
    assert places.make("mdsvc").endswith("/mdsvc.db")
    assert _found(mdsvc) == ["mdsvc"], "the default is ./mdsvc.db"
    monkeypatch.setenv("MDSVC_CONFIG", str(config))
    assert _found(mdsvc) == ["file"]
    monkeypatch.setenv("MDSVC_STORE", places.make("environment"))
    assert _found(mdsvc) == ["environment"]
    assert _found(mdsvc, "--store", places.make("flag")) == ["flag"]


def test_a_relative_url_is_below_the_working_directory(mdsvc: Mdsvc, places: Places) -> None:
    assert mdsvc("host", "add", "-", "--store", "sqlite:///a.db", stdin=host()).code == 0
    assert (places.directory / "a.db").is_file()
    assert _found(mdsvc, "--store", f"sqlite:///{places.directory}/a.db") == ["h1"]


def test_a_store_in_memory_is_gone_with_the_command(mdsvc: Mdsvc, places: Places) -> None:
    add = ("host", "add", "-", "--store", "memory://")
    assert mdsvc(*add, stdin=host()).code == 0
    assert _found(mdsvc, "--store", "memory://") == []
    assert list(places.directory.iterdir()) == []


BAD_URLS = (
    "",
    " ",
    "x",
    "/var/lib/mdsvc.db",
    "mdsvc.db",
    "sqlite:",
    "sqlite://",
    "sqlite:///",
    "sqlite:////",
    "sqlite:///:memory:",
    "sqlite:////nowhere/at/all.db",
    "sqlite:////dev/null",
    "sqlite:///a\0b",
    "sqlite://host/a.db",
    "sqlite:///a.db?mode=ro",
    "sqlite+pysqlite:///a.db",
    "oracle://host/db",
    "http://127.0.0.1/",
    "postgresql://[/",
    "://",
    "\udcff",
)


@pytest.mark.parametrize("url", BAD_URLS, ids=ascii)
def test_a_bad_url_is_named(mdsvc: Mdsvc, places: Places, url: str) -> None:
    done = mdsvc(*LIST, "--store", url)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mdsvc: --store ")
    assert done.err[:-1].isprintable()
    assert list(places.directory.iterdir()) == []


@pytest.mark.parametrize("scheme", ["sqlite", "oracle"])
def test_a_password_in_a_url_is_not_told(mdsvc: Mdsvc, places: Places, scheme: str) -> None:
    done = mdsvc(*LIST, "--store", f"{scheme}://ops:s3cr3t@host/db")
    assert (done.code, done.out) == (2, "")
    assert "s3cr3t" not in done.err


def test_a_file_that_is_no_database_is_left_alone(mdsvc: Mdsvc, places: Places) -> None:
    file = places.directory / "notes.txt"
    file.write_text("not a database, but of some length, so that it has a header\n" * 50)
    before = file.read_bytes()
    done = mdsvc(*LIST, "--store", f"sqlite:///{file}")
    assert (done.code, done.out) == (2, "")
    assert str(file) in done.err
    assert file.read_bytes() == before


BAD_CONFIGS = {
    "a missing file": (None, "No such file"),
    "no TOML": ("store =", "is no TOML file"),
    "no UTF-8": ("\udcff", "is no TOML file"),
    "an unknown key": ("shop = 1", "shop: no such field"),
    "a table": ("[store]\nurl = 1", "store: "),
    "a store that is a number": ("store = 5", "store: expected text"),
    "a path that is a number": ("vendor_data = 5", "vendor_data: expected a path"),
    "a listener that is none": ('guest = "here"', "guest: expected ADDR:PORT"),
    "a wait that is too long": ("wait_seconds = 26", "wait_seconds: "),
    "a date": ("wait_seconds = 2026-01-01", "wait_seconds: "),
    "an empty secret": ('shared_secret = ["a", ""]', "shared_secret: expected no empty secret"),
    "a blank secret": ('shared_secret = "a, "', "shared_secret: expected no empty secret"),
    "neutron without a secret": ('identity = "neutron"', "shared_secret: expected a secret"),
    "deep nesting": ("a = " + "[" * 5000, "is no TOML file"),
}


@pytest.mark.parametrize(("text", "names"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_bad_file_is_named(
    mdsvc: Mdsvc, places: Places, monkeypatch: pytest.MonkeyPatch, text: str | None, names: str
) -> None:
    config = places.directory / "mdsvc.toml"
    if text is not None:
        config.write_bytes(text.encode(errors="surrogateescape"))
    monkeypatch.setenv("MDSVC_CONFIG", str(config))
    for done in (mdsvc(*LIST), mdsvc("serve"), mdsvc("serve", "--config", str(config))):
        assert (done.code, done.out) == (2, "")
        assert done.err[:-1].isprintable()
        assert names in done.err
    assert str(config) in done.err or "shared_secret: expected a secret" in done.err


BAD_VARIABLES = {
    "MDSVC_STORE": "x",
    "MDSVC_GUEST": "127.0.0.1",
    "MDSVC_OPERATOR": "127.0.0.1:65536",
    "MDSVC_IDENTITY": "token",
    "MDSVC_SHARED_SECRET": "",
    "MDSVC_DEDICATED_CPUS_FORMAT": "bits",
    "MDSVC_VERSION_LIST": "old",
    "MDSVC_WAIT_SECONDS": "long",
    "MDSVC_LOG_LEVEL": "loud",
}


@pytest.mark.parametrize("name", BAD_VARIABLES)
def test_a_bad_variable_is_named(mdsvc: Mdsvc, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, BAD_VARIABLES[name])
    done = mdsvc(*LIST)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert name in done.err.replace("--store", "MDSVC_STORE")
