"""Who asks is told by the peer's address on the listener's network."""

from __future__ import annotations

from typing import NamedTuple
from uuid import NAMESPACE_DNS, uuid5

import pytest
from msgspec.structs import replace
from multidict import CIMultiDict
from typing_extensions import override

from mdsvc.errors import NotFound, Unidentified
from mdsvc.identity.address import AddressIdentity
from mdsvc.instance import Address, PlacedInstance
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import poor


def _guest(name: str, *addresses: tuple[str, str]) -> PlacedInstance:
    where = tuple(Address(network=network, ip=ip) for network, ip in addresses)
    uuid = str(uuid5(NAMESPACE_DNS, name))
    return replace(poor(), uuid=uuid, name=name, addresses=where)


STORE = FakeStore(
    _guest("one", ("net-a", "127.0.0.1"), ("net-a", "FD00:0:0::0001"), ("net-a", "fe80::1")),
    _guest("two", ("net-a", "127.0.0.2"), ("net-b", "127.0.0.2")),
    _guest("a", ("net-a", "127.0.0.3"), ("net-a", "fd00::3")),
    _guest("b", ("net-b", "127.0.0.3"), ("net-b", "fd00::3")),
)


class Case(NamedTuple):
    claim: str
    peer: str
    network: str | None
    name: str | None


CASES = (
    Case("an address that one guest has is enough", "127.0.0.1", None, "one"),
    Case("an address on the listener's network is found", "127.0.0.1", "net-a", "one"),
    Case("an address on another network is nobody's", "127.0.0.1", "net-b", None),
    Case("an address that one guest has on two networks is its", "127.0.0.2", None, "two"),
    Case("an unknown address is nobody's", "127.0.0.9", None, None),
    Case("an address that two networks have is nobody's", "127.0.0.3", None, None),
    Case("an address that two networks have is found by the network", "127.0.0.3", "net-a", "a"),
    Case("and on the other network it is another guest's", "127.0.0.3", "net-b", "b"),
    Case("on no known network it is nobody's", "127.0.0.3", "net-c", None),
    Case("IPv6 is found", "fd00::1", None, "one"),
    Case("IPv6 is found however it is spelt", "FD00:0:0:0:0:0:0:1", None, "one"),
    Case("IPv6 of two networks is nobody's", "fd00::3", None, None),
    Case("IPv6 of two networks is found by the network", "fd00::3", "net-b", "b"),
    Case("a link-local address is found without its zone", "fe80::1%eth0", None, "one"),
    Case("IPv4 that comes as IPv6-mapped is IPv4", "::ffff:127.0.0.1", None, "one"),
    Case("IPv4-mapped in hexadecimal too", "::ffff:7f00:1", "net-a", "one"),
    Case("IPv4-compatible is not IPv4-mapped", "::127.0.0.1", None, None),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.claim)
async def test_a_peer_is_the_guest_with_its_address(case: Case) -> None:
    asked = AddressIdentity(case.network).guest(STORE, case.peer, CIMultiDict())
    if case.name is None:
        with pytest.raises(NotFound):
            await asked
    else:
        assert (await asked).name == case.name


ON_THIS_MACHINE = [case for case in CASES if case.peer.startswith("127.")]


@pytest.mark.parametrize("case", ON_THIS_MACHINE, ids=lambda case: case.claim)
async def test_on_the_wire_nobody_gets_404(serve: Serve, case: Case) -> None:
    ask = await serve(STORE, network=case.network)
    reply = await ask("/openstack/latest/meta_data.json", peer=case.peer)
    assert reply.status == (200 if case.name else 404)
    assert reply.type == ("application/json" if case.name else "text/plain; charset=UTF-8")
    assert not case.name or reply.json["name"] == case.name


async def test_headers_say_nothing_about_who_asks(serve: Serve) -> None:
    ask = await serve(STORE)
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Instance-ID"):
        reply = await ask("/openstack/latest/meta_data.json", [(name, "127.0.0.3")])
        assert reply.json["name"] == "one"


async def test_a_peer_without_an_address_is_nobody() -> None:
    with pytest.raises(Unidentified):
        await AddressIdentity().guest(STORE, "", CIMultiDict())


async def test_a_guest_that_is_gone_between_the_look_ups_is_nobody() -> None:
    class Going(FakeStore):
        @override
        async def get_instance(self, uuid: str) -> PlacedInstance | None:
            return None

    with pytest.raises(NotFound):
        await AddressIdentity().guest(Going(poor()), "127.0.0.1", CIMultiDict())
