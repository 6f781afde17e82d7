"""What guests report, as operators see it: in a store, and with a server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mdsvc.reports import now_ms, read_status
from mdsvc.store.opening import open_store
from tests.cli.command import Mdsvc
from tests.cli.values import OTHER_UUID, UUID

SHOW = ("instance", "show", UUID)
DRIFTED = ("instance", "list", "--drifted")


def _report(file: Path, body: bytes) -> None:
    async def it() -> None:
        store = await open_store(f"sqlite:///{file}")
        await store.set_report(UUID, read_status(body), now_ms())
        await store.close()

    asyncio.run(it())


def test_guests_that_drift_are_listed_and_show_why(with_guest: Mdsvc, file: Path) -> None:
    nobody = with_guest(*DRIFTED)
    assert (nobody.code, with_guest(*DRIFTED, "--json").json) == (0, [])
    assert "no guest drifts" in nobody.out
    _report(file, b'{"state": "broken", "isolated_cpus": ""}')
    listed = with_guest(*DRIFTED, "--json").json
    assert listed == [with_guest(*SHOW, "--json").json]
    assert UUID in with_guest(*DRIFTED).out
    assert with_guest(*DRIFTED, "--host", "h1", "--json").json == listed
    shown = with_guest(*SHOW).out
    for words in ("broken", "it has isolated CPUs none, and is told", "it says that it is broken"):
        assert words in " ".join(shown.split())
    _report(file, b"{}")
    assert with_guest(*DRIFTED, "--json").json == []


def test_a_report_changes_nothing_of_the_stored_instance(with_guest: Mdsvc, file: Path) -> None:
    before = with_guest(*SHOW, "--json").json
    assert "nothing yet" in with_guest(*SHOW).out
    _report(file, b'{"generation": 1, "state": "isolated"}')
    assert with_guest(*SHOW, "--json").json == before


def test_who_is_not_there_is_one_line(with_guest: Mdsvc) -> None:
    for command in (("instance", "show", OTHER_UUID), (*DRIFTED, "--host", "h9")):
        done = with_guest(*command)
        assert done.code != 0
        assert len(done.err.splitlines()) == 1
