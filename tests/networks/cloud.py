"""Real network namespaces: networks with a metadata namespace each, and guests on them.

Each network is a bridge in a namespace of its own, where the server is to listen; each guest is a
namespace with one cable to that bridge. Two networks may use the same addresses.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from pyroute2 import netns

from tests.http.wire import Reply, parse

T = TypeVar("T")

RUN = Path("/run/netns")
IPV4, IPV6 = "169.254.169.254", "fe80::a9fe:a9fe"
MAC = "fa:16:3e:00:00:{:02x}"


class Cloud:
    """All namespaces whose names begin with the prefix. Those of networks end in their names."""

    def __init__(self, prefix: str) -> None:
        self.prefix = f"{prefix}-meta-"
        self._all = prefix
        self._cables = 0

    def left(self) -> list[str]:
        return sorted(path.name for path in RUN.glob(f"{self._all}*"))

    def clean(self) -> None:
        for name in self.left():
            subprocess.run(["ip", "netns", "delete", name], check=True)

    def network(self, name: str, *, with_address: bool = True) -> str:
        """A network of 10.0.0.0/24; the name of its namespace."""
        namespace = self.prefix + name
        batch("", f"netns add {namespace}")
        batch(
            namespace,
            "link set lo up",
            "link add br0 type bridge forward_delay 0",
            "link set br0 up",
            "address add 10.0.0.1/24 dev br0",
            "address add fd00::1/64 dev br0 nodad",
        )
        if with_address:
            self.add_addresses(name)
        return namespace

    def add_addresses(self, network: str) -> None:
        batch(
            self.prefix + network,
            f"address add {IPV4}/32 dev br0",
            f"address add {IPV6}/64 dev br0 nodad",
        )

    def remove(self, network: str) -> None:
        batch("", f"netns delete {self.prefix}{network}")

    def name_too(self, namespace: str, name: str) -> None:
        """Give a namespace another name beside its own."""
        (RUN / name).touch()
        subprocess.run(["mount", "--bind", str(RUN / namespace), str(RUN / name)], check=True)

    def guest(self, network: str, name: str, mac: str, *ips: str) -> str:
        """A guest on a network, with these addresses; the name of its namespace."""
        namespace = f"{self._all}-{network}-{name}"
        self._cables += 1
        port = f"tap{self._cables}"
        batch("", f"netns add {namespace}")
        batch(
            self.prefix + network,
            f"link add {port} type veth peer name eth0 netns {namespace}",
            f"link set {port} master br0 up",
        )
        batch(namespace, "link set lo up", f"link set eth0 address {mac}", "link set eth0 up")
        self.readdress(namespace, *ips)
        return namespace

    def readdress(self, guest: str, *ips: str) -> None:
        """Give a guest these addresses, in place of what it had, and the way to the metadata."""
        link_local = [] if any(ip.startswith("fe80") for ip in ips) else ["fe80::99"]
        adds = [
            f"address add {ip}/64 dev eth0 nodad" if ":" in ip else f"address add {ip}/24 dev eth0"
            for ip in (*ips, *link_local)
        ]
        batch(guest, "address flush dev eth0", *adds, f"route replace {IPV4}/32 dev eth0")


def batch(namespace: str, *lines: str) -> None:
    command = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    text = "\n".join(lines)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (namespace, lines, done.stderr)


def ip(namespace: str, *args: str) -> str:
    done = subprocess.run(["ip", "-n", namespace, *args], capture_output=True, check=True)
    return done.stdout.decode()


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, which does nothing else."""
    assert threading.current_thread() is not threading.main_thread()
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    netns.setns(namespace, flags=os.O_RDONLY)
    try:
        yield
    finally:
        netns.setns(home)
        os.close(home)


def request(path: str = "/latest/meta-data/instance-id", close: bool = True) -> bytes:
    end = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: metadata\r\n{end}\r\n".encode()


def connected(guest: str, host: str = IPV4, source: str | None = None) -> socket.socket:
    """A connection from inside a namespace, from an address of its."""
    with inside(guest):
        where = f"{host}%eth0" if host == IPV6 else host
        family, *_, address = socket.getaddrinfo(where, 80, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(5)
        try:
            if source:
                sock.bind((source, 0))
            sock.connect(address)
        except OSError:
            sock.close()
            raise
    return sock


def _ask(guest: str, host: str, path: str, source: str | None) -> Reply:
    with connected(guest, host, source) as sock:
        sock.sendall(request(path))
        reply = b"".join(iter(partial(sock.recv, 65536), b""))
    if not reply:
        raise ConnectionResetError("the server hung up")
    return parse(reply)


async def ask(
    guest: str,
    host: str = IPV4,
    path: str = "/latest/meta-data/local-hostname",
    source: str | None = None,
) -> Reply:
    """What a guest is answered, over a connection of its own."""
    return await asyncio.to_thread(_ask, guest, host, path, source)


async def answered(guest: str, text: str, host: str = IPV4, source: str | None = None) -> None:
    """Return when that is what it is answered; it is asked again for some seconds."""
    last: object = None
    for _ in range(100):
        try:
            last = (await ask(guest, host, source=source)).text
        except OSError as error:
            last = error
        if last == text:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(last)
