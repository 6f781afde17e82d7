"""The command, a host for it to fill, and the question whether its books balance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Mdsvc
from tests.cli.values import host
from tests.crash.accounts import Json, damage, faults

Audit = Callable[[], list[Json]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def mdsvc(monkeypatch: pytest.MonkeyPatch, file: Path) -> Mdsvc:
    """The command in this process, on a store with the host h1."""
    mdsvc = Mdsvc(monkeypatch, f"sqlite:///{file}")
    assert mdsvc("host", "add", "-", stdin=host()).code == 0
    return mdsvc


@pytest.fixture
def audit(mdsvc: Mdsvc, file: Path) -> Audit:
    """Asserts that the store is whole and its books balance; gives the guests."""

    def it() -> list[Json]:
        shown = mdsvc("host", "show", "h1", "--json")
        listed = mdsvc("instance", "list", "--json")
        assert (shown.code, listed.code) == (0, 0), shown.err + listed.err
        hosts = mdsvc("host", "list", "--json").json
        assert shown.json in hosts
        guests: list[Json] = listed.json
        assert faults(hosts, guests) == []
        assert damage(file) == []
        return guests

    return it
