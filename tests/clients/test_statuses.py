"""What real clients make of each status that the server may have to answer with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typing_extensions import override

from mdsvc.control.instances import delete_instance
from mdsvc.errors import Unavailable
from mdsvc.instance import PlacedInstance
from mdsvc.store import recent
from mdsvc.store.memory import MemoryStore
from tests.cli.values import UUID
from tests.clients.conftest import NODE, PYTHON, Serve
from tests.clients.test_clients import CONFIG, form, ignition


class Away(MemoryStore):
    """Does not answer guests the first so many times."""

    left = 0

    @override
    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        if self.left:
            self.left -= 1
            raise Unavailable("the database is away")
        return await super().find(ip, network)

    @override
    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        if self.left:
            self.left -= 1
            raise Unavailable("the database is away")
        return await super().get_instance(uuid)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Away:
    monkeypatch.setattr(recent, "SECONDS", 0)
    return Away()


async def test_503_ignition_comes_again_and_learns(
    serve: Serve, away: Away, tmp_path: Path
) -> None:
    server = await serve(form(CONFIG.encode()), store=away)
    away.left = 2
    played = await server.play(*ignition(tmp_path))
    assert played.code == 0
    statuses = [request.status for request in played.requests]
    assert (statuses[0], statuses[-1]) == (503, 200)
    assert json.loads((tmp_path / "config.json").read_text())["storage"]["files"]


async def test_503_cloudbase_init_comes_again_and_learns(serve: Serve, away: Away) -> None:
    server = await serve(form(b"x"), store=away)
    away.left = 1
    played = await server.play(*PYTHON, "cloudbase-init")
    assert played.json["loaded"] is True
    assert played.requests[0].status == 503


async def test_503_the_sdk_for_node_says_so(serve: Serve, away: Away) -> None:
    server = await serve(form(), store=away)
    away.left = 100
    played = await server.play(*NODE, "/latest/meta-data/instance-id")
    assert played.json == {"/latest/meta-data/instance-id": {"status": None}}
    assert played.requests[-1].status == 503


async def test_404_where_the_guest_is_none_of_ours_nothing_is_learned(
    serve: Serve, away: Away, tmp_path: Path
) -> None:
    server = await serve(form(CONFIG.encode()), store=away)
    await delete_instance(away, UUID)
    played = await server.play(*ignition(tmp_path))
    assert played.code == 0
    assert [request.status for request in played.requests] == [404]
    assert json.loads((tmp_path / "config.json").read_text())["storage"] == {}
    played = await server.play(*PYTHON, "cloudbase-init")
    assert played.json == {"loaded": False}
