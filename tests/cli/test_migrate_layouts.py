"""`mdsvc db migrate-layouts`: what it says of the records that it has rewritten, or could not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.command import Mdsvc
from tests.stores.old_forms import OldGuest, fill_with_old, old_guests


@pytest.fixture
def old(mdsvc: Mdsvc, file: Path) -> list[OldGuest]:
    """Guests of form 1 in the store of the command."""
    assert mdsvc("db", "upgrade").code == 0
    guests = old_guests(20, seed=5)
    fill_with_old(file, guests)
    return guests


def test_old_records_are_shown_rightly_and_rewritten(mdsvc: Mdsvc, old: list[OldGuest]) -> None:
    before = mdsvc("instance", "list", "--json").json
    done = mdsvc("db", "migrate-layouts", "--batch", "3", "--json")
    assert done.code == 0
    expected = {"records": 23, "rewritten": 20, "left": 0, "unreadable": []}
    assert done.json == expected
    assert done.err == "mdsvc: rewriting records: 23 of 23\n"
    again = mdsvc("db", "migrate-layouts", "--json")
    assert again.json == {**expected, "rewritten": 0}
    assert mdsvc("instance", "list", "--json").json == before
    told = mdsvc("db", "migrate-layouts")
    assert (told.code, told.out) == (0, "records     23\nrewritten   0\n")


def test_a_record_that_cannot_be_read_is_named_and_the_rest_is_rewritten(
    mdsvc: Mdsvc, file: Path, old: list[OldGuest]
) -> None:
    database = sqlite3.connect(file)
    with database:
        database.execute("UPDATE instances SET record = x'00' WHERE uuid = ?", [old[4].uuid])
    database.close()
    done = mdsvc("db", "migrate-layouts", "--json")
    assert done.code == 1
    assert done.json["rewritten"] == 19
    [unreadable] = done.json["unreadable"]
    assert (unreadable["kind"], unreadable["name"]) == ("guest", old[4].uuid)
    assert f"mdsvc: the stored guest {old[4].uuid} is damaged" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("batch", ["0", "-1", "x", "10001"])
def test_a_batch_that_is_none_is_refused(mdsvc: Mdsvc, batch: str) -> None:
    done = mdsvc("db", "migrate-layouts", "--batch", batch)
    assert done.code == 2
    assert "--batch" in done.err
