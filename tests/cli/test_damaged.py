"""A record that cannot be read, by the command: in the store, and with a server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.cli.command import Mdsvc
from tests.cli.values import UUID, flavor, host, plain

NAMED = f"mdsvc: the stored guest {UUID} is damaged: "


def damage(file: Path, table: str) -> None:
    """No record begins with this byte; nobody has read the record at this revision."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"UPDATE {table} SET record = x'c1', revision = revision + 1000")


def test_a_damaged_guest_is_named_and_the_others_are_shown(with_guest: Mdsvc, file: Path) -> None:
    damage(file, "instances")
    other = plain(7) | {"flavor": flavor(1, 64, {})}
    assert with_guest("instance", "create", "-", stdin=other).code == 0
    for command in (("instance", "list"), ("instance", "list", "--host", "h1")):
        listed = with_guest(*command, "--json")
        assert listed.code == 1
        assert [guest["uuid"] for guest in listed.json] == [other["uuid"]]
        assert listed.err.startswith(NAMED)
        assert listed.err.count("\n") == 1
    shown = with_guest("host", "show", "h1")
    assert (shown.code, shown.err.startswith(NAMED)) == (1, True)
    assert with_guest("host", "list").code == 0
    one = with_guest("instance", "show", UUID)
    assert (one.code, one.out) == (1, "")
    assert one.err.startswith(NAMED)


def test_a_damaged_guest_is_left_by_a_drain_and_deleted(with_guest: Mdsvc, file: Path) -> None:
    damage(file, "instances")
    drained = with_guest("host", "drain", "h1", "--move", "--json")
    assert drained.code == 3
    assert [left["uuid"] for left in drained.json["left"]] == [UUID]
    replaced = with_guest("host", "add", "-", "--replace", stdin=host(cpu_allocation_ratio=2.0))
    assert (replaced.code, NAMED in replaced.err) == (1, True)
    assert with_guest("instance", "delete", UUID).code == 0
    assert with_guest("host", "remove", "h1").code == 0


def test_a_damaged_host_is_named_and_removed_once_it_is_empty(
    with_guest: Mdsvc, file: Path
) -> None:
    assert with_guest("host", "add", "-", stdin=host("h2")).code == 0
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "UPDATE hosts SET record = x'c1', revision = revision + 1000 WHERE name = 'h1'"
        )
    listed = with_guest("host", "list", "--json")
    assert listed.code == 1
    assert [each["name"] for each in listed.json] == ["h2"]
    assert listed.err.startswith("mdsvc: the stored host h1 is damaged: ")
    assert with_guest("instance", "list", "--host", "h1").code == 0
    assert with_guest("host", "remove", "h1").code == 3
    assert with_guest("instance", "delete", UUID).code == 0
    assert with_guest("host", "remove", "h1").code == 0
    assert with_guest("host", "list").code == 0
