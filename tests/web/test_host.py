"""`/hosts/NAME`: whose each pCPU is, to see, to reach by keyboard and to hear."""

from __future__ import annotations

from msgspec.structs import replace

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.cpuset import CpuSet
from mdsvc.demo import sample
from mdsvc.occupancy import Guest, guests_of, uses_of
from mdsvc.store import Store
from mdsvc.web.host_map import host_map
from tests.control_values import fill, guest, host
from tests.web.conftest import Look
from tests.web.reading import Node, read


async def tiles(store: Store, look: Look) -> dict[int, Node]:
    """Those of the demonstration's big host with all of its guests."""
    await add_host(store, sample.big_host())
    for instance in (*sample.neighbours(), sample.asking_guest()):
        await create_instance(store, instance, "compute-1")
    drawn = (await look("/hosts/compute-1")).one("div", class_="map")
    return {int(tile["id"].removeprefix("cpu-")): tile for tile in drawn.every(class_="cpu")}


async def test_every_pcpu_is_there_once_can_be_focused_and_has_a_name(
    store: Store, look: Look
) -> None:
    by_cpu = await tiles(store, look)
    assert sorted(by_cpu) == list(range(64))
    for cpu, tile in by_cpu.items():
        assert tile.get("href") or (tile.get("tabindex"), tile.get("role")) == ("0", "img")
        assert tile["aria-label"].startswith(f"pCPU {cpu}, ")


async def test_a_name_says_whose_it_is_and_as_what(store: Store, look: Look) -> None:
    by_cpu = await tiles(store, look)
    names = {tile["aria-label"].partition(", ")[2] for tile in by_cpu.values()}
    assert {f"pinned: vCPU {vcpu} of dpdk-0" for vcpu in (2, 3, 5, 6, 7)} <= names
    assert "reserved for the emulator threads of radio" in names
    assert "idle: kept free for latency (isolate)" in names
    assert "free to dedicate" in names
    assert any(name.startswith("shared: ") for name in names)


async def test_no_kind_is_told_by_colour_alone(store: Store, look: Look) -> None:
    by_cpu = await tiles(store, look)
    signs: dict[str, set[str]] = {}
    for tile in by_cpu.values():
        kind = tile["class"].split()[1]
        signs.setdefault(kind, set()).add(tile.one("b").text[-1])
    assert signs["free"] == {"."}
    assert signs["shared"] == {"~"}
    assert signs["idle"] == {"·"}
    assert signs["emulator"] == {"e"}
    assert all(sign.isdigit() for sign in signs["pinned"])


async def test_a_tile_leads_to_its_guest_and_the_guest_back_to_it(store: Store, look: Look) -> None:
    by_cpu = await tiles(store, look)
    cpu, tile = next((c, t) for c, t in by_cpu.items() if "vCPU 3 of dpdk-0" in t["aria-label"])
    rows = (await look(tile["href"])).every("table")[0].every("tr")
    [back] = [row.one("a")["href"] for row in rows if row.text.startswith("3dedicated")]
    assert back == f"/hosts/compute-1#cpu-{cpu}"


def drawn(draw_host: object, guests: list[Guest]) -> Node:
    return read(host_map(draw_host, guests).text)  # type: ignore[arg-type]


def test_threads_are_together_in_cores_and_cores_in_l3_domains() -> None:
    [first, *others] = sample.big_host().cells
    l3 = (CpuSet.of(range(16)), CpuSet.of(range(16, 32)))
    big = replace(sample.big_host(), cells=(replace(first, l3=l3), *others))
    domains = drawn(big, []).every(class_="domain")
    assert [domain["aria-label"] for domain in domains] == ["L3 domain 0", "L3 domain 1"]
    cores = [
        [t["id"] for t in core.every(class_="cpu")] for core in domains[1].every(class_="core")
    ]
    assert cores[0] == ["cpu-16", "cpu-17"]
    assert len(cores) == 8


def test_what_is_taken_by_nobody_known_is_said() -> None:
    [first, *others] = sample.big_host().cells
    odd = replace(first, pinned=CpuSet.of([5]))
    tile = drawn(replace(sample.big_host(), cells=(odd, *others)), []).one(id="cpu-5")
    assert tile["aria-label"] == "pCPU 5, taken, not by these guests"


async def test_what_two_guests_have_is_said(store: Store) -> None:
    await fill(store, host("h1"))
    one = await create_instance(store, guest(1), "h1")
    both = [one, replace(one, uuid="2b6f9d7c-3c55-4d1f-8f0e-5f0a3a1c9e11")]
    uses = uses_of(host("h1"), guests_of(host("h1"), both))
    assert {uses[cpu].kind for cell in one.layout.cells for cpu in cell.pcpus} == {"twice"}


async def test_its_guests_are_listed_under_their_letters(store: Store, look: Look) -> None:
    await tiles(store, look)
    rows = (await look("/hosts/compute-1")).one("table").rows()
    assert [row[0] for row in rows] == [
        "A database",
        "B dpdk-0",
        "C k8s-node",
        "D latency",
        "E radio",
        "F web",
    ]
    assert rows[1][1:4] == ["mixed", "5", "3"]
