"""IPv6 link-local: an address is one only with its interface, and that stays in the guest."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator

import pytest
from mdguest.errors import Unreachable
from mdguest.sources import connection, link_local
from mdguest.sources.connection import routes
from mdguest.sources.server import Server

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.demo import sample
from mdsvc.demo.network import can_make_namespaces
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.server import listeners
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from tests.cli.values import guest as form
from tests.guest.sources.guest import FakeGuest
from tests.guest.sources.hostile import Clock, Hostile

# ---- addresses ----

URLS = {
    "http://10.0.0.1": ("10.0.0.1", "10.0.0.1"),
    "http://10.0.0.1:8775": ("10.0.0.1", "10.0.0.1:8775"),
    "http://metadata.example:80": ("metadata.example", "metadata.example"),
    "http://[::1]:8775": ("::1", "[::1]:8775"),
    "http://[fe80::a9fe:a9fe%eth0]": ("fe80::a9fe:a9fe%eth0", "[fe80::a9fe:a9fe]"),
    "http://[fe80::a9fe:a9fe%25eth0]:81": ("fe80::a9fe:a9fe%eth0", "[fe80::a9fe:a9fe]:81"),
    "http://[fe80::1%2525gig]": ("fe80::1%25gig", "[fe80::1]"),
    "http://[fe80::1%25]": ("fe80::1%25", "[fe80::1]"),
}


@pytest.mark.parametrize(("url", "expected"), URLS.items())
def test_the_zone_is_for_the_resolver_and_not_for_the_server(
    url: str, expected: tuple[str, str]
) -> None:
    server = Server.parse(url)
    assert (server.node, server.host_header) == expected
    assert Server.parse(str(server)) == server


def test_a_zone_becomes_the_socket_address_s_scope() -> None:
    [route] = routes(Server(link_local.METADATA_IPV6, 80, "lo"), 1)
    assert route.address == (link_local.METADATA_IPV6, 80, 0, 1)


@pytest.mark.parametrize("host", ["fe80::1", "1::2::3"])
def test_an_interface_or_address_that_is_none_is_an_oserror(host: str) -> None:
    with pytest.raises(OSError, match=r"not known|not supported"):
        routes(Server(host, 80, "no-such-if"), 1)


# ---- interfaces ----


def with_interfaces(guest: FakeGuest, **interfaces: str) -> FakeGuest:
    """Each is a few words: its state, and what it has."""
    lines = ["00000000000000000000000000000001 01 80 10 80       lo", "half a line"]
    for number, (name, words) in enumerate(interfaces.items(), 2):
        scope = "20" if "link-local" in words else "00"
        lines.append(f"fe80000000000000505400fffe00000{number} {number:02} 40 {scope} 80 {name:>8}")
        down = OSError(22, "Invalid argument")
        carriers: dict[str, bytes | OSError] = {"up": b"1\n", "unplugged": b"0\n", "down": down}
        guest.files[f"/sys/class/net/{name}/carrier"] = carriers[words.split()[0]]
        if "device" in words:
            guest.files[f"/sys/class/net/{name}/device/vendor"] = b""
    guest.files["/proc/net/if_inet6"] = "\n".join(lines).encode()
    return guest


def test_those_are_asked_on_that_are_up_and_have_a_link_local_address(guest: FakeGuest) -> None:
    with_interfaces(
        guest,
        eth0="up device link-local",
        eth1="down device link-local",
        eth2="up device",
        eth3="unplugged device link-local",
        ens3="up device link-local",
    )
    assert link_local.interfaces(guest) == ["eth0", "ens3"]


def test_containers_cables_are_asked_on_only_where_there_is_nothing_else(
    guest: FakeGuest,
) -> None:
    with_interfaces(guest, veth1="up link-local", eth0="up device link-local")
    assert link_local.interfaces(guest) == ["eth0"]
    del guest.files["/sys/class/net/eth0/device/vendor"]
    assert link_local.interfaces(guest) == ["veth1", "eth0"]


def test_there_is_a_limit_to_them(guest: FakeGuest) -> None:
    with_interfaces(guest, **{f"veth{number}": "up link-local" for number in range(99)})
    assert len(link_local.interfaces(guest)) == 32


def test_without_ipv6_there_are_none(guest: FakeGuest, clock: Clock) -> None:
    with pytest.raises(Unreachable, match=r"^IPv6: no interface has a link-local address$"):
        link_local.find(guest, clock.patience())


def test_an_interface_that_has_just_gone_is_unreachable(guest: FakeGuest, clock: Clock) -> None:
    with_interfaces(guest, gone0="up link-local", gone1="up link-local")
    with pytest.raises(Unreachable, match=r"^http://\[fe80::a9fe:a9fe%gone0\|gone1\]: "):
        link_local.find(guest, clock.patience())


# ---- several at once ----


def route(server: Server) -> connection.Route:
    return routes(server, 1)[0]


def test_of_several_that_do_not_hold_up_one_another_one_that_answers_is_taken(
    server: Hostile,
) -> None:
    there, closed = Server.parse(server.url), Server("127.0.0.1", 1)
    choices = [route(closed), route(Server("::1", 1)), route(there), route(closed)]
    found, sock = connection.connect(choices, 1)
    sock.close()
    assert found == there


def test_of_several_that_answer_the_first_is_taken(server: Hostile) -> None:
    there, alias = Server.parse(server.url), Server("127.0.0.2", server.port)
    with_alias = [route(there), route(alias)]
    for choices in (with_alias, with_alias[:1] * 3):
        found, sock = connection.connect(choices, 1)
        sock.close()
        assert found == there


@pytest.mark.parametrize("number", [0, 1, 3])
def test_where_none_answers_the_reason_is_told(number: int) -> None:
    with pytest.raises(OSError, match="refused" if number else "no address"):
        connection.connect([route(Server("127.0.0.1", 1))] * number, 1)


def test_a_route_that_is_refused_at_once_is_one_of_many(server: Hostile) -> None:
    """A link-local address without its interface, for one."""
    there, nowhere = Server.parse(server.url), Server("fe80::1")
    found, sock = connection.connect([route(nowhere), route(there)], 1)
    sock.close()
    assert found == there
    with pytest.raises(OSError, match="Invalid argument"):
        connection.connect([route(nowhere)], 1)


# ---- a real link ----

ASK = """
from mdguest import sources
from mdguest.system import System
layout = sources.read(None, System())
print(layout.source, layout.dedicated, sources.wait(layout, 0, System()) == layout)
"""


@pytest.fixture
def link() -> Iterator[tuple[str, str]]:
    """The namespaces of a metadata server and of a guest, whose only neighbour that is."""
    if not can_make_namespaces():
        pytest.skip("network namespaces need root")
    server, guest = (f"mdsvc-test-{os.getpid()}-{name}" for name in ("md", "guest"))
    commands = f"""
        netns add {server}
        netns add {guest}
        -n {server} link add eth0 type veth peer name eth1 netns {guest}
        -n {server} address add fe80::a9fe:a9fe/64 dev eth0 nodad
        -n {guest} address add fe80::5/64 dev eth1 nodad
        -n {server} link set eth0 up
        -n {guest} link set eth1 up
        -n {guest} link add eth2 type veth peer name eth3
        -n {guest} address add fe80::6/64 dev eth2 nodad
        -n {guest} link set eth2 up
        -n {guest} link set eth3 up
    """
    try:
        for command in commands.strip().splitlines():
            subprocess.run(["ip", *command.split()], check=True)
        yield server, guest
    finally:
        for name in (server, guest):
            subprocess.run(["ip", "netns", "delete", name], check=False)


async def test_a_guest_that_has_ipv6_alone_reaches_mdsvc(link: tuple[str, str]) -> None:
    """Also where another of its interfaces leads nowhere."""
    server, guest = link
    store = MemoryStore()
    await add_host(store, sample.big_host())
    known = form(addresses=[{"network": "net-a", "ip": "fe80::5"}])
    await create_instance(store, from_builtins(known, Instance), None)
    settings = Settings(
        guest=("[fe80::a9fe:a9fe%eth0]:80",), operator="127.0.0.1:0", netns=(server,)
    )
    async with asyncio.timeout(20), listeners(settings, store):
        command = ("ip", "netns", "exec", guest, sys.executable, "-c", ASK)
        asking = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        said, _ = await asking.communicate()
    assert said.decode() == "metadata:http://[fe80::a9fe:a9fe%25eth1] 2-3,5-7 True\n"
