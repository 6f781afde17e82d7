"""The demonstration: hosts are registered, guests placed, and one of them boots and asks."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
import msgspec
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from mdsvc.app import open_store
from mdsvc.control.hosts import add_host, get_host
from mdsvc.control.instances import create_instance
from mdsvc.cpuset import CpuSet
from mdsvc.demo import fleet, sample
from mdsvc.demo.guest import boot, cloud_init
from mdsvc.demo.network import METADATA_IPV4, can_make_namespaces, guest_network
from mdsvc.discovery.sysfs import local_host
from mdsvc.instance import Address, PlacedInstance
from mdsvc.server import listeners
from mdsvc.settings import Settings
from mdsvc.store import Store
from mdsvc.terminal.host_map import host_map

_ENDING = (signal.SIGINT, signal.SIGTERM)

_SIDE_BY_SIDE = 110
"""Columns from which on the three panels stand beside one another."""


_REPORT_SECONDS = 600
"""How often the fleet's guests report, as `mdguest` does."""


class _Place(NamedTuple):
    """Where the guest's network is: a namespace of its own, or loopback without root."""

    listen: str
    address: Address
    server: str | None = None
    guest: str | None = None
    packages: Path | None = None  # cloud-init's, to play the guest in its namespace


_NO_NAMESPACES = (
    "[yellow]No namespaces:[/] they need root, with all of its capabilities; run it as root to see "
    "a real cloud-init ask."
)
_NO_CLOUD_INIT = "[yellow]No cloud-init:[/] `make setup` in a checkout unpacks it."


def run(console: Console, stay: bool) -> None:
    """Show it, in a few seconds, and leave nothing behind; with ``stay`` until interrupted."""
    with ExitStack() as stack:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="mdsvc-demo-"))
        place = _place(stack, console)
        asyncio.run(_end_by_signal(_run(console, f"sqlite:///{directory}/demo.db", place, stay)))


async def _end_by_signal(running: Coroutine[Any, Any, None]) -> None:
    """Only in here may a signal come in between: half a network could not be cleaned up, and a
    fork that is interrupted swallows it.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)  # both cancel
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    try:
        await running
    except asyncio.CancelledError:
        await asyncio.sleep(0.1)  # for threads of the store that still have to tell the loop
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def _place(stack: ExitStack, console: Console) -> _Place:
    address = sample.asking_guest().addresses[0]
    packages = cloud_init()
    missing = _NO_NAMESPACES if not can_make_namespaces() else _NO_CLOUD_INIT
    if packages and can_make_namespaces():
        network = guest_network(f"mdsvc-demo-{os.getpid()}", [address])
        server, guests = stack.enter_context(network)
        return _Place(f"{METADATA_IPV4}:80", address, server, guests[0], packages)
    console.print(
        f"{missing} So the server is on loopback instead of {METADATA_IPV4}, and a plain HTTP "
        "client plays the guest.\n"
    )
    return _Place("127.0.0.1:0", Address(sample.NETWORK, "127.0.0.1"))


async def _run(console: Console, url: str, place: _Place, stay: bool) -> None:
    store = await open_store(url)
    try:
        guest = await _fill(console, store, place)
        settings = Settings(
            store=url,
            guest=(place.listen,),
            operator="127.0.0.1:0",
            network=sample.NETWORK,
            netns=(place.server,) if place.server else (),
        )
        async with listeners(settings, store) as lines:
            _step(console, "Starting the server", *lines)
            learned = await _learn(console, place, lines[0].split()[1])
            await _show(console, store, guest, learned)
            if stay:
                await _add_fleet(console, store)
                await _stay(console, place, lines, store)
    finally:
        await store.close()
    _next(console, stay)


async def _fill(console: Console, store: Store, place: _Place) -> PlacedInstance:
    cpus = local_host("this-machine").host.cpus
    first = CpuSet.of([min(cpus)])  # for the machine itself and shared vCPUs
    mine = await add_host(store, local_host("this-machine", first, cpus - first).host)
    big = await add_host(store, sample.big_host())
    _step(
        console,
        "Registering hosts",
        f"{mine.name}: its own topology, CPUs {mine.cpus} in {len(mine.cells)} NUMA cell(s); "
        f"dedicated {mine.cpu_dedicated_set or 'none'}",
        f"{big.name}: a sample, CPUs {big.cpus} in {len(big.cells)} NUMA cells",
    )
    placed = [await create_instance(store, g, big.name) for g in sample.neighbours()]
    asking = msgspec.structs.replace(sample.asking_guest(), addresses=(place.address,))
    placed.append(await create_instance(store, asking, big.name))
    _step(console, "Placing guests", *(_placed_line(guest) for guest in placed))
    return placed[-1]


def _placed_line(guest: PlacedInstance) -> str:
    layout = guest.layout
    return (
        f"{guest.name}: {guest.flavor.vcpus} vCPUs, {layout.cpu_policy}; "
        f"dedicated {layout.dedicated_cpus or 'none'}"
    )


async def _learn(console: Console, place: _Place, url: str) -> dict[str, str]:
    if place.guest and place.packages:
        _step(console, "The guest boots", "Debian's cloud-init, unchanged, looks for its metadata")
        return _from_cloud_init(await boot(place.guest, place.packages))
    _step(console, "The guest asks", "a plain HTTP client reads the metadata")
    return await _from_http(url)


def _from_cloud_init(learned: Mapping[str, Any]) -> dict[str, str]:
    ds, version = learned["ds"], learned["cloud_init"]
    return {
        "by": f"cloud-init {version} in {learned['elapsed_seconds']:.2f} s",
        "hostname": learned["hostname"],
        "SSH keys": ", ".join(key.split()[-1] for key in learned["public_ssh_keys"]),
        "user data": learned["user_data"].splitlines()[0],
        "ds.meta_data.dedicated_cpus": ds["meta_data"]["dedicated_cpus"],
        "ds.ec2_metadata.cpu.dedicated": ds["ec2_metadata"]["cpu"]["dedicated"],
        "ds.ec2_metadata.cpu.shared": ds["ec2_metadata"]["cpu"]["shared"],
    }


async def _from_http(url: str) -> dict[str, str]:
    async with aiohttp.ClientSession(url, raise_for_status=True) as session:
        async with session.get("/openstack/latest/meta_data.json") as reply:
            document = await reply.json()
        async with session.get("/latest/meta-data/cpu/dedicated") as reply:
            leaf = await reply.text()
    return {
        "by": "a plain HTTP client",
        "hostname": document["hostname"],
        "SSH keys": ", ".join(document["public_keys"]),
        "meta_data.json: dedicated_cpus": document["dedicated_cpus"],
        "EC2: cpu/dedicated": leaf,
    }


async def _show(
    console: Console, store: Store, guest: PlacedInstance, learned: Mapping[str, str]
) -> None:
    host, guests = await get_host(store, guest.host)
    console.print()
    console.print(host_map(host, guests))
    panels = [
        Panel(_pairs(_asked(guest)), title="what the operator asked for"),
        Panel(_pairs(_pinned(guest)), title="where the fitter put it"),
        Panel(_pairs(learned), title="what the guest learned"),
    ]
    if console.width < _SIDE_BY_SIDE:
        console.print(*panels, sep="\n")
        return
    sides = Table.grid(expand=True)
    for share in (4, 5, 6):
        sides.add_column(ratio=share)
    sides.add_row(*panels)
    console.print(sides)


def _asked(guest: PlacedInstance) -> dict[str, str]:
    return {
        "name": guest.name,
        "vCPUs": str(guest.flavor.vcpus),
        "memory": f"{guest.flavor.memory_mb} MiB",
        **guest.flavor.extra_specs,
    }


def _pinned(guest: PlacedInstance) -> dict[str, str]:
    rows = {"host": guest.host}
    for cell in guest.layout.cells:
        pins = ", ".join(f"{vcpu}→{pcpu}" for vcpu, pcpu in cell.cpu_pinning.items())
        rows[f"node {cell.id} on cell {cell.host_cell}"] = f"{pins}; shared {cell.cpuset or 'none'}"
    return {**rows, "dedicated vCPUs": str(guest.layout.dedicated_cpus)}


def _pairs(rows: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for name, value in rows.items():
        style = "bold green" if "dedicated" in name else ""
        table.add_row(f"[dim]{name}[/]", f"[{style}]{value}[/]" if style else value)
    return table


def _step(console: Console, title: str, *lines: str) -> None:
    console.print(f"[bold cyan]▸ {title}[/]")
    for line in lines:
        console.print(f"    {line}", soft_wrap="://" in line)  # an address is one line


async def _add_fleet(console: Console, store: Store) -> None:
    """Something for the page to show."""
    hosts, guests = await fleet.fill(store)
    _step(
        console,
        "Adding a fleet for the page to show",
        f"{hosts} hosts of four shapes with {guests} guests: one host drains, one is too old for "
        "mixed guests, one guest drifts",
    )


async def _stay(console: Console, place: _Place, lines: list[str], store: Store) -> None:
    prefix = f"ip netns exec {place.guest} " if place.guest else ""
    url, page = lines[0].split()[1], lines[-1].split()[1]
    flavor = fleet.STUCK
    fields = {"vcpus": flavor.vcpus, "memory_mb": flavor.memory_mb, **flavor.extra_specs}
    stuck = urlencode(fields, safe=":")
    _step(
        console,
        "Staying up; ask by hand, and end it with Ctrl-C",
        f"{prefix}curl {url}/openstack/latest/meta_data.json",
        f"{prefix}curl {url}/latest/meta-data/cpu/dedicated",
        f"{prefix}curl {url}/mdsvc/v1/layout",
        f"a placement that is stuck: {page}/what-if?{stuck}",
        f"the page: {page}/",
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), _REPORT_SECONDS)
        except TimeoutError:
            await fleet.report(store)


def _next(console: Console, stayed: bool) -> None:
    """With the command as it was called: a checkout's is not on the PATH."""
    called = os.path.relpath(sys.argv[0]) if os.sep in sys.argv[0] else "mdsvc"
    ideas = {
        **({} if stayed else {"demo --serve": "the same, and stay up to be asked by hand"}),
        "host import me --local": "register this machine; then `host show me`",
        "instance create guest.json": "place a guest of your own (README has one)",
        "serve": "answer guests",
        "--help": "everything else, with examples",
    }
    width = max(map(len, ideas))
    _step(
        console, "What to try next", *(f"{called} {idea:{width}}  {ideas[idea]}" for idea in ideas)
    )
