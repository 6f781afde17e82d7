"""How soon each view of the operator's page is there, with 2,000 hosts and 100,000 guests.

    make bench, or .venv/bin/python -m bench.page

`mdsvc serve` on SQLite, looked at by Chromium: milliseconds from the click until the page is laid
out, the first time and the median of five more, and of these how long the server took until its
last byte. As the reference, in turn with them, the same bytes from memory: what the browser takes.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from msgspec.structs import replace
from playwright.sync_api import Page, Route, sync_playwright

from bench.servers import MDSVC, server
from mdsvc.demo.fleet import STUCK
from mdsvc.demo.shapes import XEON
from mdsvc.forms import to_json
from mdsvc.instance import Instance, PlacedInstance, place_instance
from mdsvc.layout import fit
from mdsvc.placing.usage import place
from mdsvc.policy.flavor import Flavor, request
from mdsvc.store.opening import open_store
from mdsvc.topology import Host

HOSTS = 2000
GUESTS = 50
"""On each host."""
ROUNDS = 5
CHROMIUM = "/usr/bin/chromium"

PINNED = Flavor(vcpus=2, memory_mb=2048, extra_specs={"hw:cpu_policy": "dedicated"})
FLOATING = Flavor(vcpus=1, memory_mb=1024)
VIEWS = {
    "hosts": "/",
    "hosts, sorted by fill": "/?sort=-pinned&page=7",
    "hosts, searched": "/?q=h19",
    "host": "/hosts/h1000",
    "guests": "/instances",
    "guests of one host": "/instances?host=h1000",
    "guests, searched": "/instances?q=g49",
    "guests that drift": "/instances?drifted=true",
    "guest": f"/instances/{1000:08}-0000-4000-8000-{3:012}",
    "what-if, fits": f"/what-if?{urlencode({'flavor': to_json(PINNED)})}",
    "what-if, fits nowhere": f"/what-if?{urlencode({'flavor': to_json(STUCK)})}",
    "changes": "/changes",
}


class _Seen(NamedTuple):
    """Milliseconds."""

    all_of_it: float
    server: float


def _full(name: str) -> tuple[Host, list[PlacedInstance]]:
    """A host with its guests; all hosts are alike, so it is worked out once."""
    host, placed = XEON.host(name), []
    for number in range(GUESTS):
        flavor = PINNED if number % 2 else FLOATING
        layout = fit(host, request(flavor))
        host = place(host, layout, flavor)
        guest = Instance(uuid=_uuid(0, number), project_id="p", name=f"g{number}", flavor=flavor)
        placed.append(place_instance(guest, name, layout))
    return host, placed


def _uuid(host: int, guest: int) -> str:
    return f"{host:08}-0000-4000-8000-{guest:012}"


async def _fill(url: str) -> None:
    host, guests = _full("h")
    store = await open_store(url)
    for first in range(0, HOSTS, 100):
        async with store.transaction() as tx:
            for at in range(first, first + 100):
                await tx.add_host(replace(host, name=f"h{at}"))
                for number, guest in enumerate(guests):
                    await tx.add_instance(replace(guest, uuid=_uuid(at, number), host=f"h{at}"))
    await store.close()


_TIMES = """() => {
    const [all] = performance.getEntriesByType("navigation");
    return [all.loadEventEnd - all.startTime, all.responseEnd - all.requestStart];
}"""


def _seen(page: Page, url: str) -> _Seen:
    page.goto(url, wait_until="load")
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    return _Seen(*page.evaluate(_TIMES))


def _bare(page: Page, url: str) -> _Seen:
    """The same bytes at once: what the browser alone takes for them."""
    body = page.request.get(url).body()

    def answer(route: Route) -> None:
        route.fulfill(body=body, content_type="text/html; charset=utf-8")

    page.route(url, answer)
    seen = _seen(page, url)
    page.unroute(url)
    return seen


def _rows(page: Page, base: str) -> Iterator[tuple[str, list[_Seen], list[_Seen]]]:
    for name, path in VIEWS.items():
        first = _seen(page, base + path)
        pairs = [(_seen(page, base + path), _bare(page, base + path)) for _ in range(ROUNDS)]
        yield name, [first, *(ours for ours, _ in pairs)], [bare for _, bare in pairs]


def main() -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory)}/bench.db"
        asyncio.run(_fill(url))
        listeners = ["--guest", "unix:" + directory + "/guests", "--operator", "127.0.0.1:0"]
        with (
            server([*MDSVC, "serve", "--store", url, *listeners]) as running,
            sync_playwright() as pw,
        ):
            browser = pw.chromium.launch(executable_path=CHROMIUM)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            print(f"{HOSTS} hosts, {HOSTS * GUESTS} guests; milliseconds, median of {ROUNDS}")
            print(f"  {'view':24}{'first':>8}{'then':>8}{'server':>8}{'bare':>8}")
            for name, (first, *ours), bare in _rows(page, f"http://127.0.0.1:{running.port}"):
                then = statistics.median(seen.all_of_it for seen in ours)
                served = statistics.median(seen.server for seen in ours)
                alone = statistics.median(seen.all_of_it for seen in bare)
                times = "".join(f"{ms:8.0f}" for ms in (first.all_of_it, then, served, alone))
                print(f"  {name:24}{times}")
            browser.close()


if __name__ == "__main__":
    main()
