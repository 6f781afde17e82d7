"""The command on a store of its own: an empty one, or one with a host and a guest."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.cli.command import Mdsvc
from tests.cli.serving import Serving
from tests.cli.values import guest, host

Dump = Callable[[], str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the store is, or will be."""
    return tmp_path / "store.db"


EVERYWHERE = {
    f"test_{name}.py"
    for name in ("damaged", "hosts", "instances", "life", "lock", "password", "refused", "replace")
}
"""Whose commands are run twice: in the store, and with a server that has it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "where" in metafunc.fixturenames and Path(metafunc.module.__file__).name in EVERYWHERE:
        metafunc.parametrize("where", ["store", "server"], indirect=True)


@pytest.fixture
def where(request: pytest.FixtureRequest) -> str:
    """Where commands find hosts and guests."""
    return getattr(request, "param", "store")


@pytest.fixture
def mdsvc(monkeypatch: pytest.MonkeyPatch, file: Path, where: str) -> Iterator[Mdsvc]:
    """The command on a store that does not exist yet."""
    url = f"sqlite:///{file}"
    with ExitStack() as stack:

        @cache
        def server() -> str:
            serving = Serving(url)
            stack.callback(serving.stop)
            return serving.url

        yield Mdsvc(monkeypatch, url, server if where == "server" else None)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the host h1 and the guest on it, to be copied."""
    file = tmp_path_factory.mktemp("filled") / "store.db"
    with pytest.MonkeyPatch.context() as patch:
        run = Mdsvc(patch, f"sqlite:///{file}")
        assert run("host", "add", "-", stdin=host()).code == 0
        assert run("instance", "create", "-", stdin=guest()).code == 0
    return file


@pytest.fixture
def with_guest(mdsvc: Mdsvc, file: Path, filled: Path) -> Mdsvc:
    """The command on a store with the host h1 and the guest on it."""
    shutil.copy(filled, file)
    return mdsvc


@pytest.fixture
def dump(file: Path) -> Dump:
    """All that is in the store, as SQL; nothing where there is no store."""

    def text() -> str:
        if not file.exists():
            return ""
        database = sqlite3.connect(file)
        try:
            return "\n".join(database.iterdump())
        finally:
            database.close()

    return text
