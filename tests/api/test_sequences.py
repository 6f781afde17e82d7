"""Sequences of calls about hosts, with a dictionary beside that says what each must come to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsvc.app import operator_app
from mdsvc.settings import Settings
from mdsvc.store.following import Follower
from mdsvc.store.memory import MemoryStore
from tests.cli.values import host

NAMES = st.sampled_from(["a", "b"])
PACKINGS = st.sampled_from(["spread", "pack"])
MATCHES = st.sampled_from(["nothing", "now", "before", "any"])
CALLS = st.one_of(
    st.tuples(st.just("POST"), NAMES, PACKINGS, st.just("nothing")),
    st.tuples(st.just("PUT"), NAMES, PACKINGS, MATCHES),
    st.tuples(st.just("DELETE"), NAMES, st.just(""), MATCHES),
    st.tuples(st.just("GET"), NAMES, st.just(""), st.just("nothing")),
)
Call = tuple[str, str, str, str]


@dataclass
class Model:
    """Each host's packing, and the last two ETags that were told of it."""

    packing: dict[str, str] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)

    def status(self, call: Call) -> int:
        """What the call must be answered; the model is as it is after it."""
        method, name, packing, match = call
        is_there, same = name in self.packing, self.packing.get(name) == packing
        is_matched = match == "nothing" or (is_there and self._matches(name, match))
        match method:
            case "GET":
                return 200 if is_there else 404
            case "POST" if is_there:
                return 200 if same else 409
            case "DELETE" if not is_there:
                return 404
            case "PUT" | "DELETE" if not is_matched:
                return 412
        if method == "DELETE":
            del self.packing[name]
            return 204
        self.packing[name] = packing
        return 200 if is_there else 201

    def _matches(self, name: str, match: str) -> bool:
        return match == "any" or self.header(name, match) == self.now.get(name)

    def header(self, name: str, match: str) -> str | None:
        tags = {"now": self.now.get(name, '"x"'), "before": self.before.get(name, '"x"')}
        return {"nothing": None, "any": "*", **tags}[match]

    def told(self, name: str, etag: str) -> None:
        if self.now.get(name) != etag:
            self.before[name] = self.now.get(name, '"x"')
            self.now[name] = etag


async def _run(calls: list[Call]) -> None:
    store = MemoryStore()
    app = operator_app(store, Settings(), Follower(store), is_local=True)
    model = Model()
    async with TestClient(TestServer(app)) as client:
        for call in calls:
            method, name, packing, match = call
            given_tag = model.header(name, match)
            expected = model.status(call)
            path = "/v1/hosts" if method == "POST" else f"/v1/hosts/{name}"
            body: Any = {"json": host(name, packing=packing)} if packing else {}
            headers = {"If-Match": given_tag} if given_tag else {}
            async with client.request(method, path, headers=headers, **body) as reply:
                assert reply.status == expected, (call, await reply.text())
                if "ETag" in reply.headers:
                    model.told(name, reply.headers["ETag"])
            listed = (await (await client.get("/v1/hosts")).json())["hosts"]
            assert {each["name"]: each["packing"] for each in listed} == model.packing


@settings(max_examples=25, deadline=None)
@given(st.lists(CALLS, max_size=12))
def test_each_call_comes_to_what_those_before_it_have_left(calls: list[Call]) -> None:
    asyncio.run(_run(calls))
