"""Commands with a running server: as in a store; and what is said where that cannot be."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mdsvc.control.tokens import create_token
from mdsvc.store.opening import open_store
from tests.audit.fleets import domain
from tests.cli.command import Done, Mdsvc, process
from tests.cli.serving import Serving
from tests.cli.values import OTHER_UUID, UUID, flavor, guest, host
from tests.strategies import grid

Serve = Callable[..., str]

LIST = ("host", "list", "--json")


@pytest.fixture
def serve(file: Path) -> Iterator[Serve]:
    """Serves the store."""
    with ExitStack() as stack:

        def it(unix: Path | None = None) -> str:
            serving = Serving(f"sqlite:///{file}", unix)
            stack.callback(serving.stop)
            return serving.url

        yield it


STORY: tuple[tuple[tuple[str, ...], object], ...] = (
    (("host", "list"), b""),
    (("host", "add", "-"), host()),
    (("host", "add", "-"), host()),
    (("host", "add", "-", "--json"), host("h2")),
    (("host", "add", "-"), {"name": "h3"}),
    (("instance", "create", "-"), guest()),
    (("instance", "create", "-"), guest()),
    (("instance", "create", "-", "--host", "h9"), guest(OTHER_UUID, addresses=[])),
    (("instance", "create", "-"), guest(OTHER_UUID, flavor=flavor(64, 64))),
    (("instance", "create", "-"), guest(OTHER_UUID, flavor=flavor(1, 64, {"hw:cpu_policy": "x"}))),
    (("instance", "list"), b""),
    (("instance", "show", UUID.upper(), "--json"), b""),
    (("instance", "show", ".."), b""),
    (("instance", "xml", UUID), b""),
    (("instance", "xml", UUID, "--only", "cputune", "--type", "qemu"), b""),
    (("instance", "password", UUID), b""),
    (("host", "show", "h1"), b""),
    (("host", "remove", "h1"), b""),
    (("host", "add", "-", "--replace"), host(cpu_shared_set="0")),
    (("host", "add", "-", "--replace", "--json"), host(cpu_allocation_ratio=2.0)),
    (("host", "add", "-", "--replace"), host("h3")),
    (("host", "remove", "h3", "--json"), b""),
    (("instance", "resize", UUID, "--flavor", "-"), flavor(2, 64)),
    (("instance", "rebuild", UUID, "--user-data", "-"), b"#cloud-config\n"),
    (("instance", "migrate", UUID, "--host", "h9"), b""),
    (("instance", "migrate", UUID), b""),
    (("host", "drain", "h2", "--move", "--json"), b""),
    (("host", "drain", "h1", "--move"), b""),
    (("host", "drain", "h1", "--undo"), b""),
    (("instance", "delete", UUID, "--json"), b""),
    (("instance", "delete", UUID), b""),
    (("host", "list"), b""),
)


MACHINE = grid(2, 4, threads=2, shared=1)

IMPORTS: tuple[tuple[tuple[str, ...], object], ...] = (
    (("instance", "import", "--domain", "-"), domain("a", "2").encode()),
    (("host", "add", "-"), MACHINE),
    (("instance", "import", "--domain", "-", "--json"), domain("a", "2").encode()),
    (("instance", "import", "--domain", "-"), domain("a", "2").encode()),
    (("instance", "import", "--domain", "-"), domain("a", "3").encode()),
    (("instance", "import", "--domain", "-", "--replace"), domain("a", "3").encode()),
    (("instance", "import", "--domain", "-", "--host", "h9"), domain("b", "4").encode()),
    (("instance", "import", "--domain", "-"), domain("b", "3").encode()),
    (("instance", "import", "--domain", "-"), b"<network/>"),
    (("instance", "import", "--domain", "-"), b"<domain"),
    (("instance", "import", "--domain", "-", "--project", "p"), domain("ü", "0-1", "4").encode()),
    (("instance", "import", "--domain", "-"), domain("l", "5").encode("utf-16")),
    (("host", "add", "-"), MACHINE | {"name": "h2"}),
    (("instance", "import", "--domain", "-"), domain("c", "5").encode()),
    (("instance", "list"), b""),
    (("host", "show", "h1"), b""),
)
"""Guests that run already; and who can be taken in by a hook."""


@pytest.mark.parametrize("story", [STORY, IMPORTS], ids=["guests", "imports"])
def test_a_story_is_told_in_the_same_words(
    story: tuple[tuple[tuple[str, ...], object], ...],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    serve: Serve,
) -> None:
    local = Mdsvc(monkeypatch, f"sqlite:///{tmp_path / 'local.db'}")
    url = serve()
    remote = Mdsvc(monkeypatch, local.url, lambda: url)
    codes = set()
    for args, stdin in story:
        here, there = local(*args, stdin=stdin), remote(*args, stdin=stdin)
        assert there == here, args
        codes.add(here.code)
    assert codes == {0, 2, 3, 4}


def test_a_hook_is_followed_in_the_same_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Serve
) -> None:
    local = Mdsvc(monkeypatch, f"sqlite:///{tmp_path / 'local.db'}")
    url = serve()
    remote = Mdsvc(monkeypatch, local.url, lambda: url)
    for command in (local, remote):
        assert command("host", "add", "-", stdin=MACHINE).code == 0
        spool = tmp_path / ("spool-here" if command is local else "spool-there")
        spool.mkdir()
    said: list[str] = []
    rounds = (
        [("started", domain("a", "2")), ("started", domain("b", "2")), ("started", "<odd")],
        [("stopped", domain("a", "2")), ("release", domain("a", "2"))],
        [("release", domain("b", "2")), ("release", domain("never", "7"))],
    )
    for number, notes in enumerate(rounds):
        told = []
        for command, name in ((local, "spool-here"), (remote, "spool-there")):
            spool = tmp_path / name
            for at, (operation, xml) in enumerate(notes):
                header = json.dumps({"guest": "g", "operation": operation})
                (spool / f"{number}{at}.note").write_text(f"{header}\n{xml}")
            run = ("hook", "run", "--host", "h1", "--spool", str(spool), "--networks", str(spool))
            done = command(*run)
            left = sorted(str(path.relative_to(spool)) for path in spool.rglob("*.*"))
            told.append((done, left, command("instance", "list").out))
        assert told[0] == told[1]
        assert told[0][0].code == 0
        said.append(told[0][0].err)
    assert "removed g" in said[-1]


# ---- where commands are sent ----


def test_both_options_are_bad_usage(mdsvc: Mdsvc) -> None:
    done = mdsvc(*LIST, "--store", mdsvc.url, "--server", "http://127.0.0.1:1")
    assert (done.code, done.out) == (2, "")
    assert "expected one of --store and --server, not both" in done.err


def test_an_option_goes_before_the_environment(
    with_guest: Mdsvc, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    served = serve()
    monkeypatch.setenv("MDSVC_STORE", empty)
    assert _names(with_guest(*LIST, "--server", served)) == ["h1"]
    monkeypatch.setenv("MDSVC_SERVER", served)
    assert _names(with_guest(*LIST)) == ["h1"], "the server goes before the store"
    assert _names(with_guest(*LIST, "--store", empty)) == []


def test_a_unix_socket_is_a_server_too(with_guest: Mdsvc, serve: Serve, tmp_path: Path) -> None:
    url = serve(tmp_path / "s")
    assert url.startswith("unix:/")
    assert _names(with_guest(*LIST, "--server", url)) == ["h1"]


def test_a_process_asks_a_server_as_one_in_process_does(with_guest: Mdsvc, serve: Serve) -> None:
    url = serve()
    for args in (LIST, ("host", "show", "h9")):
        assert process(*args, MDSVC_SERVER=url) == with_guest(*args, "--server", url)


def _names(done: Done) -> list[str]:
    assert (done.code, done.err) == (0, "")
    return [found["name"] for found in done.json]


# ---- tokens ----


def _token(url: str, read_only: bool = False) -> str:
    async def create() -> str:
        store = await open_store(url)
        try:
            return (await create_token(store, "ops", read_only)).token
        finally:
            await store.close()

    return asyncio.run(create())


def test_without_the_token_it_is_said_how_to_give_it(with_guest: Mdsvc, serve: Serve) -> None:
    _token(with_guest.url)
    done = with_guest(*LIST, "--server", serve())
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "MDSVC_TOKEN" in done.err


def test_the_token_is_the_environment_s_or_in_a_file(
    with_guest: Mdsvc, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token, url = _token(with_guest.url), serve()
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    for name, value in (("MDSVC_TOKEN", token), ("MDSVC_TOKEN_FILE", str(file))):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert _names(with_guest(*LIST, "--server", url)) == ["h1"]


def test_what_a_read_only_token_may_not_is_refused(
    with_guest: Mdsvc, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDSVC_TOKEN", _token(with_guest.url, read_only=True))
    url = serve()
    assert _names(with_guest(*LIST, "--server", url)) == ["h1"]
    done = with_guest("instance", "delete", UUID, "--server", url)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "MDSVC_TOKEN" in done.err
    assert with_guest("instance", "show", UUID).code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MDSVC_TOKEN", "two words"),
        ("MDSVC_TOKEN", "a\nb"),
        ("MDSVC_TOKEN_FILE", "/dev/null"),
        ("MDSVC_TOKEN_FILE", "/nowhere"),
        ("MDSVC_TOKEN_FILE", "/"),
    ],
)
def test_a_token_that_is_none_is_bad_input(
    mdsvc: Mdsvc, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    done = mdsvc(*LIST, "--server", "http://127.0.0.1:1")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"mdsvc: {name}: ")


# ---- servers that are none ----


NO_SERVERS = (
    *("", "h1", "h1:8776", "ftp://h1", "sqlite:///x.db", "http://", "http://h1:x"),
    *("http://h1:70000", "http://user:s3cret@h1", "http://h1?x", "http://[::1"),
    *("unix:s", "unix://h1/s"),
)


@pytest.mark.parametrize("url", NO_SERVERS)
def test_what_is_no_server_s_url_is_bad_input(mdsvc: Mdsvc, url: str) -> None:
    done = mdsvc(*LIST, "--server", url)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "--server: expected http://HOST:PORT" in done.err
    assert "s3cret" not in done.err


def _closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("args", [LIST, ("instance", "delete", UUID)])
def test_a_server_that_is_not_there_is_one_line(mdsvc: Mdsvc, args: tuple[str, ...]) -> None:
    for url in (_closed_port(), "unix:/nowhere/s", "http://nowhere.invalid:8776"):
        done = mdsvc(*args, "--server", url)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
        assert done.err.startswith(f"mdsvc: --server {url}: it cannot be reached: ")


@pytest.mark.parametrize("args", [("db", "current"), ("token", "list")])
def test_what_needs_a_store_makes_none_where_a_server_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, args: tuple[str, ...]
) -> None:
    mdsvc = Mdsvc(monkeypatch, "memory://", lambda: "http://127.0.0.1:1")
    monkeypatch.delenv("MDSVC_STORE")
    monkeypatch.chdir(tmp_path)
    done = mdsvc(*args)
    assert (done.code, done.out) == (2, "")
    assert "expected --store" in done.err
    assert list(tmp_path.iterdir()) == []


def test_what_needs_a_store_does_not_take_a_server_s(mdsvc: Mdsvc) -> None:
    for args in (("db", "current"), ("token", "list"), ("fit",), ("serve",)):
        done = mdsvc(*args, "--server", "http://127.0.0.1:1")
        assert (done.code, done.out) == (2, "")
        assert "--server" in done.err
