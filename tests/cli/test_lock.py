"""Guests' user data, closed and opened by an operator: in a store, and with a server."""

from __future__ import annotations

import pytest

from tests.cli.command import Mdsvc
from tests.cli.values import OTHER_UUID, UUID

SHOW = ("instance", "show", UUID)
LOCK = ("instance", "lock", UUID)


def _shown(mdsvc: Mdsvc) -> str:
    return " ".join(mdsvc(*SHOW).out.split())


def test_user_data_are_closed_and_opened_anew(with_guest: Mdsvc) -> None:
    assert "user data" not in _shown(with_guest), "it has none"
    with_guest("instance", "rebuild", UUID, "--user-data", "-", stdin=b"secret")
    assert "user data open" in _shown(with_guest)
    locked = with_guest(*LOCK, "--json").json
    assert (locked["uuid"], locked["closed"]) == (UUID, True)
    words = "closed since 20"
    assert words in _shown(with_guest)
    again = with_guest(*LOCK)
    assert words in " ".join(again.out.split())
    assert with_guest(*LOCK, "--json").json == locked, "since when stays"
    opened = with_guest(*LOCK, "--undo", "--json").json
    assert opened == {"uuid": UUID, "closed": False, "closes_at": None}
    assert "user data open" in _shown(with_guest)


def test_a_rebuild_opens_them(with_guest: Mdsvc) -> None:
    with_guest("instance", "rebuild", UUID, "--user-data", "-", stdin=b"secret")
    with_guest(*LOCK)
    with_guest("instance", "rebuild", UUID)
    assert "user data open" in _shown(with_guest)


@pytest.mark.parametrize("undo", [(), ("--undo",)], ids=["lock", "undo"])
def test_who_is_not_there_is_one_line(with_guest: Mdsvc, undo: tuple[str, ...]) -> None:
    done = with_guest("instance", "lock", OTHER_UUID, *undo)
    assert (done.code, len(done.err.splitlines())) == (4, 1)
