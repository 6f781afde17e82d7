"""The overlay beside Nova alone: what an answer costs the server, and how long a cold one takes.

    make bench, or .venv/bin/python -m bench.overlay

A real Nova (`tests/nova/cloud.py`) answers with its own metadata handler, under the WSGI server
that its own command has had (eventlet's), and `mdsvc serve --upstream` is in front of it. Both are
asked for one guest's meta_data.json in turn, in each round. Warm: both keep what they know of the
guest; CPU time of the server for an answer, on connections that are kept and on new ones, as
Neutron's agent makes. Cold: neither keeps anything; the time that one answer takes.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from bench.load import cpu_seconds
from tests.nova.conftest import SECRET
from tests.nova.programs import cloud
from tests.nova.serving import agents_headers, serving_process

PATH = "/openstack/latest/meta_data.json"
MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}
ROUNDS = 5
SECONDS = 1.0
CONNECTIONS = 8
COLD = 40


class Server(NamedTuple):
    """A process that answers at a port of loopback."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """That it has used so far."""
        return cpu_seconds(self.pid)


class Both(NamedTuple):
    nova: Server
    overlay: Server
    headers: Mapping[str, str]


@contextmanager
def both(kept_seconds: int) -> Iterator[Both]:
    """Nova with a guest, and the overlay in front of it."""
    with cloud(SECRET, kept_seconds) as nova:
        headers = agents_headers(nova.boot(4, MIXED))
        with serving_process("--upstream", f"http://127.0.0.1:{nova.port}") as (process, port):
            yield Both(Server(nova.pid, nova.port), Server(process.pid, port), headers)


def request(headers: Mapping[str, str], query: str = "", kept: bool = True) -> bytes:
    """As it goes over the wire."""
    lines = [
        f"GET {PATH}{query} HTTP/1.1",
        "Host: bench",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join(
        [*lines, f"Connection: {'keep-alive' if kept else 'close'}", "", ""]
    ).encode()


async def _answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))


async def _ask_for(port: int, wire: bytes, kept: bool, end: float) -> int:
    """Answers until the clock says so."""
    count = 0
    while time.perf_counter() < end:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            writer.write(wire)
            await _answer(reader)
            count += 1
            if not kept:
                break
        writer.close()
        await writer.wait_closed()
    return count


async def _load(port: int, wire: bytes, kept: bool) -> int:
    end = time.perf_counter() + SECONDS
    return sum(await asyncio.gather(*(_ask_for(port, wire, kept, end) for _ in range(CONNECTIONS))))


def cost(server: Server, wire: bytes, kept: bool) -> float:
    """CPU seconds of the server for an answer."""
    before = server.cpu_seconds()
    count = asyncio.run(_load(server.port, wire, kept))
    return (server.cpu_seconds() - before) / count


async def _latency(port: int, wire: bytes) -> float:
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wire)
    await _answer(reader)
    took = time.perf_counter() - began
    writer.close()
    return took


def shown(name: str, unit: str, pairs: Sequence[tuple[float, float]]) -> None:
    """Medians of Nova's and of the overlay's, and of the rounds' ratio."""
    nova, overlay = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(
        f"  {name:24} Nova {nova:8.3f} {unit}   overlay {overlay:8.3f} {unit}   ratio {ratio:6.2f}"
    )


def warm() -> None:
    with both(kept_seconds=3600) as each:
        for name, kept in (("warm, kept connections", True), ("warm, new connections", False)):
            wire = request(each.headers, kept=kept)
            shown(name, "ms CPU", [
                (1e3 * cost(each.nova, wire, kept), 1e3 * cost(each.overlay, wire, kept))
                for _ in range(ROUNDS)
            ])  # fmt: skip


def cold() -> None:
    """The overlay keeps answers by path and query, so each of these is new to it."""
    with both(kept_seconds=0) as each:
        pairs = []
        for number in range(COLD):
            wire = request(each.headers, f"?cold={number}", kept=False)
            nova, overlay = (asyncio.run(_latency(it.port, wire)) for it in each[:2])
            pairs.append((nova, overlay))
        shown("cold", "s    ", pairs)
        longer = statistics.median(overlay / nova for nova, overlay in pairs)
        print(f"  so a cold one takes {longer:.2f} times as long as from Nova alone")


def main() -> None:
    """Measure, and print a table."""
    print(f"{PATH}, median of {ROUNDS} rounds; load {os.getloadavg()[0]:.1f}")
    warm()
    cold()


if __name__ == "__main__":
    main()
