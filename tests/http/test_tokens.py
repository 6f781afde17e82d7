"""Session tokens over HTTP (contract: Guest HTTP)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import RICH_UUID, rich
from tests.http.signing import SECRET, signed

TOKEN = "/latest/api/token"
PATHS = ("/", "/openstack", "/openstack/latest/meta_data.json", "/latest/user-data", "/nowhere")
AWS, OWN = "X-aws-ec2-metadata-token", "X-mdsvc-metadata-token"
OTHER = "3b6f9d7c-3c55-4d1f-8f0e-5f0a3a1c9e12"
NEUTRON: dict[str, Any] = {"identity": "neutron", "shared_secret": (SECRET,)}


def seconds(text: str, name: str = AWS) -> list[tuple[str, str]]:
    return [(f"{name}-ttl-seconds", text)]


@pytest.mark.parametrize("name", [AWS, OWN])
async def test_a_guest_is_given_a_token_and_asks_with_it(serve: Serve, name: str) -> None:
    ask = await serve(tokens="required")
    given = await ask(TOKEN, seconds("60", name), method="PUT")
    assert (given.status, given.headers[f"{AWS}-ttl-seconds"]) == (200, "60")
    for header in (AWS, OWN):
        assert (await ask("/openstack", [(header, given.text)])).status == 200


async def test_where_tokens_are_required_all_else_is_401_without_one(serve: Serve) -> None:
    ask = await serve(tokens="required")
    for path in (*PATHS, TOKEN):
        for method in ("GET", "POST", "DELETE"):
            assert (await ask(path, method=method)).status == 401, (path, method)
    ask = await serve(tokens="required", **NEUTRON)
    for path in (*PATHS, TOKEN):
        assert (await ask(path, signed())).status == 403


async def test_a_wrong_token_is_401_also_where_tokens_are_optional(serve: Serve) -> None:
    ask = await serve(tokens="optional")
    assert (await ask("/openstack")).status == 200
    assert (await ask("/openstack", [(AWS, "wrong")])).status == 401
    ask = await serve(tokens="off")
    assert (await ask("/openstack", [(AWS, "wrong")])).status == 200


async def test_a_token_is_no_good_for_another_guest(serve: Serve) -> None:
    here = replace(rich(), addresses=rich().addresses[-1:])
    other = rich("127.0.0.2")
    other = replace(other, uuid=OTHER, addresses=other.addresses[-1:])
    ask = await serve(FakeStore(here, other))
    token = (await ask(TOKEN, seconds("60"), method="PUT")).text
    assert (await ask("/openstack", [(AWS, token)])).status == 200
    assert (await ask("/openstack", [(AWS, token)], peer="127.0.0.2")).status == 401


async def test_who_was_forwarded_gets_none(serve: Serve) -> None:
    ask = await serve()
    forwarded = [*seconds("60"), ("X-Forwarded-For", "10.0.0.1")]
    assert (await ask(TOKEN, forwarded, method="PUT")).status == 403


@pytest.mark.parametrize("text", ["0", "21601", "x", "-1", ""])
async def test_a_wrong_time_is_400(serve: Serve, text: str) -> None:
    ask = await serve()
    assert (await ask(TOKEN, seconds(text), method="PUT")).status == 400
    assert (await ask(TOKEN, method="PUT")).status == 400


async def test_behind_the_agent_the_time_is_the_longest(serve: Serve) -> None:
    ask = await serve(**NEUTRON)
    reply = await ask(TOKEN, signed(), method="PUT")
    assert (reply.status, reply.headers[f"{AWS}-ttl-seconds"]) == (200, "21600")
    assert (await ask(TOKEN, signed())).status == 400


async def test_servers_behind_the_agent_share_their_keys(serve: Serve) -> None:
    one, two = await serve(**NEUTRON), await serve(**NEUTRON)
    token = (await one(TOKEN, signed(), method="PUT")).text
    assert (await two("/openstack", [*signed(RICH_UUID), (AWS, token)])).status == 200


async def test_the_token_path_takes_only_put(serve: Serve) -> None:
    reply = await (await serve())(TOKEN)
    assert (reply.status, reply.headers["Allow"]) == (405, "PUT")


async def test_without_tokens_there_is_no_such_path(serve: Serve) -> None:
    assert (await (await serve(tokens="off"))(TOKEN, seconds("60"), method="PUT")).status == 404
