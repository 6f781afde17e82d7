"""`mdsvc db`: the version of the store's tables, and bringing them up to date."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mdsvc.store.sql.schema import VERSION
from tests.cli.command import Mdsvc, process
from tests.stores.old import HOSTS, make_version_1


@pytest.fixture
def old(mdsvc: Mdsvc, file: Path) -> Mdsvc:
    make_version_1(file)
    return mdsvc


def test_a_store_that_is_not_there_is_said_to_be_so_and_not_made(mdsvc: Mdsvc, file: Path) -> None:
    done = mdsvc("db", "current", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json == {"version": None, "expected": VERSION, "current": False, "run": None}
    assert not file.exists()


@pytest.mark.parametrize("command", ["current", "upgrade"])
def test_a_store_that_cannot_be_is_one_line(mdsvc: Mdsvc, tmp_path: Path, command: str) -> None:
    for url, told in (
        (f"sqlite:///{tmp_path}/none/store.db", "there is no directory"),
        (f"sqlite:///{tmp_path}", "expected a file"),
        ("oracle://x", "oracle is not known"),
    ):
        done = mdsvc("db", command, "--store", url)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert told in done.err


@pytest.mark.parametrize(
    "args", [("host", "list"), ("instance", "list"), ("serve", "--operator", "127.0.0.1:0")]
)
def test_every_command_refuses_an_older_store_with_the_command_that_mends_it(
    old: Mdsvc, args: tuple[str, ...]
) -> None:
    done = old(*args)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    command = done.err.strip().rpartition("; run: mdsvc ")[2].split()
    upgraded = old(*command)
    assert (upgraded.code, upgraded.out) == (0, f"tables    upgraded from version 1 to {VERSION}\n")
    assert upgraded.err.splitlines()[0] == "mdsvc: 0002 revisions of the whole store"
    assert [host["name"] for host in old("host", "list", "--json").json] == [h.name for h in HOSTS]


def test_it_says_what_is_due_and_once_it_is_done_that_nothing_is(old: Mdsvc) -> None:
    command = f"mdsvc db upgrade --store {old.url}"
    due = f"tables    version 1\nexpected  version {VERSION}\nrun       {command}\n"
    assert old("db", "current").out == due
    assert old("db", "upgrade", "--json").json == {"before": 1, "version": VERSION}
    again = old("db", "upgrade")
    assert (again.out, again.err) == (f"tables    of version {VERSION} already\n", "")
    assert old("db", "current", "--json").json == {
        "version": VERSION,
        "expected": VERSION,
        "current": True,
        "run": None,
    }


def test_a_new_store_can_be_made_by_it(mdsvc: Mdsvc) -> None:
    assert mdsvc("db", "upgrade").out == f"tables    made, of version {VERSION}\n"
    assert mdsvc("host", "list", "--json").json == []


@pytest.mark.parametrize("command", ["current", "upgrade"])
def test_memory_has_no_tables(command: str) -> None:
    done = process("db", command, "--store", "memory://")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mdsvc: --store memory://: memory is not known; expected sqlite:")


def test_it_is_said_that_records_are_as_older_programs_read_them(mdsvc: Mdsvc, file: Path) -> None:
    mdsvc("db", "upgrade")
    database = sqlite3.connect(file)
    with database:
        database.execute("DELETE FROM meta WHERE name = 'host_form'")
    database.close()
    assert mdsvc("db", "current", "--json").json["older_programs"] is True
    assert mdsvc("db", "current").out.endswith(", run:\n          mdsvc db upgrade --records\n")
    assert mdsvc("db", "upgrade", "--records").code == 0
    assert "older_programs" not in mdsvc("db", "current", "--json").json
