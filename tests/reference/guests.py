"""Random requests, cut to a host's free room, in the plain form that the reference reads."""

from random import Random

from .facts import Cell, Json, cells_of
from .pools import base_pool, floating_left_kb, left_kb, usable

EMULATOR_POLICIES: dict[str, list[str | None]] = {
    "shared": [None, None, "share"],
    "dedicated": [None, "share", "isolate", "isolate"],
    "mixed": [None, "share", "isolate", "isolate"],
}
Sizes = list[tuple[int, int, int]]


def random_request(rng: Random, host: Json, policy: str, guest_cells: int, style: str) -> Json:
    """A request of so many guest cells, in a style that says how the flavor names them.

    `explicit`: cells of any size. `even`: equal cells, by `hw:numa_nodes` alone. `dealt`: equal
    cells, with their shared vCPUs dealt round-robin (R7). `plain`: shared, without NUMA topology.
    """
    request: Json = {
        "policy": policy,
        "thread_policy": None if policy == "shared" else _thread_policy(rng, host),
        "emulator_threads_policy": rng.choice(EMULATOR_POLICIES[policy]),
        "page_size": None if style == "plain" else _page_size(rng, host),
    }
    if style == "plain":
        _fill_plain(rng, host, request)
        return request
    sizes = _sizes(rng, host, request, guest_cells)
    if style != "explicit":
        sizes = _both_kinds([min(sizes)], policy) * len(sizes)
    request["cells"] = _numbered(rng, sizes, style)
    if style == "dealt":
        _deal(rng, request["cells"])
    request["vcpus"] = sum(shared + dedicated for shared, dedicated, _ in sizes)
    request["memory_mb"] = sum(memory_mb for _, _, memory_mb in sizes)
    request["realtime"] = [] if style == "dealt" else _realtime(rng, request)
    return request


def _thread_policy(rng: Random, host: Json) -> str | None:
    """Any; `require` seldom where no core has two threads."""
    smt = any(len(core) > 1 for cell in cells_of(host) for core in cell.cores)
    usual: list[str | None] = [None, "prefer", "isolate", "require", "require"]
    return rng.choice(usual if smt or rng.random() < 0.1 else usual[:3])


def _page_size(rng: Random, host: Json) -> str | int | None:
    """None, a word, or a size that some cell has; 4 KiB where none tells any."""
    sizes = sorted({pool.size_kb for cell in cells_of(host) for pool in cell.pages})
    if rng.random() < (0.5 if sizes else 0.8):
        return None
    choices: list[str | int] = ["small", "large", "any", "any", rng.choice(sizes or [4])]
    return rng.choice(choices)


def _fill_plain(rng: Random, host: Json, request: Json) -> None:
    """A guest without NUMA topology, about as large as the room that is left on the whole host."""
    cells, ratio = cells_of(host), host["cpu_allocation_ratio"]
    room = sum(max(0, int(len(c.shared) * ratio) - c.shared_used) for c in cells)
    most = min(room, sum(len(c.shared) for c in cells))
    memory = max(0, floating_left_kb(host, cells, request)) // 1024
    request["cells"], request["realtime"] = [], []
    request["vcpus"] = max(1, most + rng.choice([-3, -2, -1, 0, 0, 0, 1]))
    request["memory_mb"] = max(1, int(memory * rng.choice([0.1, 0.5, 0.9, 1])) + _overshoot(rng))


def _overshoot(rng: Random) -> int:
    return rng.choice([0, 0, 0, 0, 0, 0, 1])


def _sizes(rng: Random, host: Json, request: Json, count: int) -> Sizes:
    """For each guest cell: shared vCPUs, dedicated vCPUs, MiB; after a host cell of its own."""
    cells = cells_of(host)
    rng.shuffle(cells)
    if rng.random() < 0.9:
        cells.sort(key=lambda cell: not _kinds(cell, request))
    sizes = []
    for target in (cells * count)[:count]:
        kinds = _kinds(target, request) or {"shared": 1, "dedicated": 1}
        if request["policy"] == "mixed" and len(kinds) == 2 and rng.random() < 0.4:
            kinds.pop(rng.choice(["shared", "dedicated"]))
        elif request["policy"] != "mixed":
            kinds = {request["policy"]: kinds.get(request["policy"], 1)}
        vcpus = {kind: _near(rng, room) for kind, room in kinds.items()}
        memory_mb = _memory(rng, host, target, request)
        sizes.append((vcpus.get("shared", 0), vcpus.get("dedicated", 0), memory_mb))
    return _both_kinds(sizes, request["policy"])


def _kinds(cell: Cell, request: Json) -> dict[str, int]:
    """The kinds of vCPUs that the request has and the cell has room for, and about how many."""
    rooms = {
        "shared": len(cell.shared),
        "dedicated": _dedicated_room(cell, request["thread_policy"]),
    }
    unwanted = {"shared": "dedicated", "dedicated": "shared"}.get(request["policy"])
    return {kind: room for kind, room in rooms.items() if room and kind != unwanted}


def _both_kinds(sizes: Sizes, policy: str) -> Sizes:
    """A mixed guest has a shared and a dedicated vCPU, though not in every cell."""
    if policy != "mixed":
        return sizes
    shared, dedicated, memory_mb = sizes[-1]
    sizes[-1] = (
        shared or int(not any(s for s, _, _ in sizes)),
        dedicated or int(not any(d for _, d, _ in sizes)),
        memory_mb,
    )
    return sizes


def _near(rng: Random, room: int) -> int:
    """About as many as there is room for, and at least one."""
    return max(1, min(rng.randint(1, 8), room + rng.choice([-2, -1, -1, 0, 0, 0, 0, 0, 1])))


def _dedicated_room(cell: Cell, thread_policy: str | None) -> int:
    """About as many dedicated vCPUs as the cell takes."""
    if thread_policy == "isolate":
        return sum(core <= cell.free for core in cell.cores)
    return len(cell.free)


def _memory(rng: Random, host: Json, cell: Cell, request: Json) -> int:
    """A part of what a pool has left; mostly a multiple of its size."""
    some = usable(cell, request["page_size"]) or [base_pool(cell)]
    some = [pool for pool in some if left_kb(host, pool, request) >= 1024] or some
    pool = rng.choice([some[0], *some])
    left = min(pool.capacity_kb, left_kb(host, pool, request)) // 1024
    unit = max(1, (pool.size_kb or 1) // 1024)
    free = int(left * rng.choice([0.1, 0.25, 0.5, 1])) // unit * unit
    return max(1, free + _overshoot(rng))


def _numbered(rng: Random, sizes: Sizes, style: str) -> list[Json]:
    """The vCPUs' numbers, running through the cells; shuffled only where the flavor lists them."""
    vcpus = list(range(sum(shared + dedicated for shared, dedicated, _ in sizes)))
    if style == "explicit" and rng.random() < 0.5:
        rng.shuffle(vcpus)
    cells = []
    for shared, dedicated, memory_mb in sizes:
        mine, vcpus = vcpus[: shared + dedicated], vcpus[shared + dedicated :]
        if style != "dealt":
            rng.shuffle(mine)
        cell = {"shared": sorted(mine[:shared]), "dedicated": sorted(mine[shared:])}
        cells.append({**cell, "memory_mb": memory_mb})
    return cells


def _deal(rng: Random, cells: list[Json]) -> None:
    """R7: shared vCPUs go round-robin over the cells, and ahead of the dedicated within one."""
    total = sum(len(cell["shared"]) for cell in cells)
    extra = rng.randint(1 - len(cells), 0) if total > len(cells) else 0
    for index, cell in enumerate(cells):
        vcpus = sorted(cell["shared"] + cell["dedicated"])
        mine = len(range(index, total + extra, len(cells)))
        cell["shared"], cell["dedicated"] = vcpus[:mine], vcpus[mine:]


def _realtime(rng: Random, request: Json) -> list[int]:
    """R5, R6: of a mixed guest all dedicated vCPUs; else some, or with an emulator policy all."""
    if request["policy"] == "shared" or rng.random() < 0.8:
        return []
    dedicated = sorted(vcpu for cell in request["cells"] for vcpu in cell["dedicated"])
    if request["policy"] == "mixed":
        return dedicated
    most = len(dedicated) if request["emulator_threads_policy"] else len(dedicated) - 1
    return sorted(rng.sample(dedicated, rng.randint(1, most))) if most else []
