"""Listening in network namespaces, and networks to try guests on, of which nothing is left."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from mdsvc.demo.network import METADATA_IPV4, can_make_namespaces, enter, guest_network
from mdsvc.doorways import guest_sockets
from mdsvc.errors import BadInput
from mdsvc.instance import Address
from mdsvc.listening.sockets import Listen, listen
from mdsvc.listening.sockets import _inside as inside
from mdsvc.server import listeners
from mdsvc.settings import Settings
from tests.cli.command import MDSVC, environment
from tests.http.fakes import FakeStore
from tests.http.guests import poor
from tests.http.wire import parse

needs_root = pytest.mark.skipif(not can_make_namespaces(), reason="namespaces need root")

PREFIX = f"mdsvc-test-{os.getpid()}"
RUN = Path("/run/netns")
ONE = Address("net-a", "10.0.0.5", "fa:16:3e:aa:bb:cc")
TWO = Address("net-a", "10.0.0.6")
ASK = b"GET /openstack/latest/meta_data.json HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n"


def here() -> str:
    """This thread's network namespace."""
    return str(Path("/proc/thread-self/ns/net").readlink())


def left() -> list[str]:
    """The namespaces of this test that there are."""
    return sorted(path.name for path in RUN.glob(f"{PREFIX}*"))


def ip(namespace: str, *args: str) -> str:
    done = subprocess.run(["ip", "-n", namespace, *args], capture_output=True, check=True)
    return done.stdout.decode()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = here()
    assert left() == []
    yield
    found = left()
    for name in found:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    assert found == []
    assert here() == before


@pytest.fixture
def network() -> Iterator[tuple[str, str]]:
    """The namespaces of a server and of one guest."""
    with guest_network(PREFIX, [ONE]) as (server, guests):
        yield server, guests[0]


def ask(guest: str, where: tuple[str, int], request: bytes = b"") -> bytes:
    """Connect from inside a namespace, and read all that comes."""
    with inside(guest):
        family, *_, address = socket.getaddrinfo(*where, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
    with sock:
        sock.settimeout(10)
        sock.connect(address)
        sock.sendall(request)
        return b"".join(iter(partial(sock.recv, 65536), b""))


# ---- listening ----


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::", "localhost"])
def test_a_socket_listens_and_does_not_block(address: str) -> None:
    with closing(listen(Listen(address, 0))) as sock:
        assert not sock.getblocking()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1


def test_both_families_can_listen_on_one_port() -> None:
    with closing(listen(Listen("0.0.0.0", 0))) as four:
        port = four.getsockname()[1]
        listen(Listen("::", port)).close()


BAD = {
    "an address of another machine": Listen("192.0.2.1", 0),
    "a name that nobody has": Listen("nobody.invalid", 0),
    "an address that is none": Listen("256.0.0.1", 0),
    "a link-local address without its zone": Listen("fe80::1", 0),
    "a zone that is not there": Listen("fe80::1%nowhere0", 0),
    "a label that is too long": Listen("x" * 300, 0),
    "an empty label": Listen("a..b", 0),
    "bytes that are no text": Listen("\udcff", 0),
    "NUL": Listen("a\0b", 0),
}


@pytest.mark.parametrize("where", BAD.values(), ids=BAD)
def test_where_nobody_can_listen_is_named(where: Listen) -> None:
    with pytest.raises(BadInput) as error:
        listen(where)
    assert f"cannot listen on {where}: " in str(error.value)


def test_a_port_in_use_is_named() -> None:
    with closing(listen(Listen("127.0.0.1", 0))) as sock:
        where = Listen("127.0.0.1", sock.getsockname()[1])
        with pytest.raises(BadInput, match=f"cannot listen on {where}: .*in use"):
            listen(where)


@pytest.mark.parametrize("identity", ["address", "neutron"])
def test_where_nobody_has_an_address_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, identity: Any
) -> None:
    """Each guest is refused there, for as long as the server runs."""
    where = f"unix:{tmp_path}/guests"
    chosen = Settings(guest=(where,), identity=identity, shared_secret=("s",))
    with ExitStack() as stack:
        guest_sockets(stack, chosen)
    said = [record.getMessage() for record in caplog.records]
    expected = f"guest: {where}: expected identity = neutron"
    assert [line.startswith(expected) for line in said] == [True] * (identity == "address")


# ---- in a namespace ----


@needs_root
def test_a_socket_stays_in_its_namespace(network: tuple[str, str]) -> None:
    server, guest = network
    before = here()
    with closing(listen(Listen(METADATA_IPV4, 80), server)) as sock:
        assert here() == before
        sock.setblocking(True)
        with inside(guest):
            client = socket.socket()
        with client:
            client.connect((METADATA_IPV4, 80))
            accepted, peer = sock.accept()
            accepted.close()
        assert peer[0] == ONE.ip, "the guest is known by its own address"
    with pytest.raises(BadInput):
        listen(Listen(METADATA_IPV4, 80)).close()


@needs_root
def test_a_failure_to_listen_in_a_namespace_names_it_and_comes_home(
    network: tuple[str, str],
) -> None:
    server, _ = network
    with pytest.raises(BadInput, match=rf"192\.0\.2\.1:80 in namespace {server}: "):
        listen(Listen("192.0.2.1", 80), server)


@needs_root
@pytest.mark.parametrize("name", ["{}-missing", "{}/x", "{}é", "", "{}" + "x" * 300], ids=ascii)
def test_a_missing_namespace_is_an_error_and_is_not_made(name: str) -> None:
    before = sorted(RUN.iterdir())
    with pytest.raises(BadInput, match=r"cannot listen on 127\.0\.0\.1:0"):
        listen(Listen("127.0.0.1", 0), name.format(PREFIX))
    assert sorted(RUN.iterdir()) == before


@needs_root
async def test_a_link_local_address_with_its_zone_is_served(network: tuple[str, str]) -> None:
    """fe80::a9fe:a9fe is where OpenStack's guests ask first."""
    server, guest = network
    ip(server, "address", "add", "fe80::a9fe:a9fe/64", "dev", "veth0", "nodad")
    ip(guest, "address", "add", "fe80::5/64", "dev", "eth0", "nodad")
    ip(guest, "address", "flush", "dev", "eth0", "scope", "link", "dynamic")
    settings = Settings(
        guest=("[fe80::a9fe:a9fe%veth0]:80", f"{METADATA_IPV4}:80"),
        operator="127.0.0.1:0",
        netns=(server,),
        network="net-a",
    )
    store = FakeStore(poor("10.0.0.5"))
    six = {("fe80::a9fe:a9fe%eth0", 80): "fe80::5", (METADATA_IPV4, 80): "10.0.0.5"}
    async with listeners(settings, store) as lines:  # type: ignore[arg-type]  # guests alone ask
        assert len(lines) == 3
        assert "fe80::a9fe:a9fe" in lines[0]
        for where, peer in six.items():
            store.put(poor(peer))
            reply = parse(await asyncio.to_thread(ask, guest, where, ASK))
            assert (reply.status, reply.json["name"]) == (200, "poor")


@needs_root
def test_the_server_serves_a_namespace_and_ends_well(network: tuple[str, str]) -> None:
    """The real process; an operator asks it from where it was started."""
    server, guest = network
    where = ("--guest", f"{METADATA_IPV4}:80", "--operator", "127.0.0.1:0", "--netns", server)
    command = [str(MDSVC), "serve", "--store", "memory://", *where]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(), stderr=pipe, text=True) as process:
        assert process.stderr
        lines = [process.stderr.readline() for _ in range(3)]
        assert lines[-1] == "mdsvc: ready\n"
        reply = parse(ask(guest, (METADATA_IPV4, 80), ASK))
        assert (reply.status, reply.text) == (404, f"no guest has the address {ONE.ip}")
        with socket.create_connection(("127.0.0.1", int(lines[1].rpartition(":")[2])), timeout=5):
            pass
        process.terminate()
        assert process.wait(20) == 0


@needs_root
def test_a_zone_is_looked_up_in_the_namespace(network: tuple[str, str]) -> None:
    server, _ = network
    ip(server, "address", "add", "fe80::a9fe:a9fe/64", "dev", "veth0", "nodad")
    listen(Listen("fe80::a9fe:a9fe%veth0", 0), server).close()
    with pytest.raises(BadInput, match="%eth9"):
        listen(Listen("fe80::a9fe:a9fe%eth9", 0), server)


# ---- networks of guests ----


@needs_root
def test_guests_have_their_address_their_mac_and_a_way_to_the_metadata() -> None:
    with guest_network(PREFIX, [ONE, TWO]) as (server, guests):
        assert left() == sorted([server, *guests])
        assert f"{ONE.ip}/32" in ip(guests[0], "address", "show", "eth0")
        assert f"{ONE.mac}" in ip(guests[0], "link", "show", "eth0")
        assert f"{TWO.ip}/32" in ip(guests[1], "address", "show", "eth0")
        for guest in guests:
            assert METADATA_IPV4 in ip(guest, "route")
        with closing(listen(Listen(METADATA_IPV4, 80), server)) as sock:
            sock.setblocking(True)
            for guest, address in zip(guests, (ONE, TWO), strict=True):
                with inside(guest):
                    client = socket.create_connection((METADATA_IPV4, 80), timeout=5)
                accepted, peer = sock.accept()
                accepted.close()
                client.close()
                assert peer[0] == address.ip


@needs_root
@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_when_the_body_raises(kind: type[BaseException]) -> None:
    def body() -> None:
        with guest_network(PREFIX, [ONE]):
            assert len(left()) == 2
            raise kind

    with pytest.raises(kind):
        body()
    assert left() == []


@needs_root
@pytest.mark.parametrize(
    "second",
    [ONE, Address("net-a", "10.0.0.6", "01:00:5e:00:00:01")],
    ids=["the same address", "a multicast MAC"],
)
def test_nothing_is_left_when_the_network_cannot_be_made(second: Address) -> None:
    with pytest.raises(NetlinkError), guest_network(PREFIX, [ONE, second]):
        pass
    assert left() == []


@needs_root
@pytest.mark.filterwarnings(  # pyroute2 leaves two sockets open where it fails
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
def test_a_namespace_of_somebody_else_is_left_alone() -> None:
    with guest_network(PREFIX, [ONE]) as (server, guests):
        with pytest.raises(FileExistsError), guest_network(PREFIX, [TWO]):
            pass
        assert left() == sorted([server, *guests])
        assert ONE.ip in ip(guests[0], "address")


@needs_root
def test_a_network_can_be_made_again_and_again() -> None:
    for _ in range(3):
        with guest_network(PREFIX, [ONE]) as (server, _):
            listen(Listen(METADATA_IPV4, 80), server).close()


@needs_root
def test_a_process_can_enter_a_namespace_for_good(network: tuple[str, str]) -> None:
    _, guest = network
    command = [sys.executable, "-c", "import os; print(os.readlink('/proc/self/ns/net'))"]
    inner = subprocess.run(
        command,
        preexec_fn=partial(enter, guest),
        capture_output=True,
        check=True,
    )
    assert inner.stdout.decode().strip() != here()


# ---- who may ----


@needs_root
@pytest.mark.parametrize(
    "wrapper",
    [
        ["unshare", "--user"],
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
        ["setpriv", "--bounding-set=-net_admin"],
        ["setpriv", "--bounding-set=-sys_admin"],
    ],
    ids=" ".join,
)
def test_without_the_capabilities_no_namespaces_can_be_made(wrapper: list[str]) -> None:
    """Root in a container is root by name alone."""
    ask_it = "from mdsvc.demo.network import can_make_namespaces; print(can_make_namespaces())"
    command = [*wrapper, sys.executable, "-c", ask_it]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout == b"False\n"
