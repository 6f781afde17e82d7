"""Random small cases for the fitter: a host, and a flavor and image with the request they mean."""

from collections.abc import Iterator
from random import Random

from .exhaustive import fits
from .facts import Json, cells_of, format_cpus
from .guests import random_request
from .hosts import random_host
from .pools import floating_left_kb

Case = tuple[Json, Json, Json | None, Json]
Specs = dict[str, str]

STYLES = {
    "shared": ["explicit", "explicit", "even", "plain"],
    "dedicated": ["explicit", "explicit", "even"],
    "mixed": ["explicit", "explicit", "even", "dealt"],
}
THREAD_TRAITS = {"require": "required", "isolate": "forbidden"}
SIZE_NAMES = {2048: "2MB", 1048576: "1GB"}
# R1: what flavor and image may say, for the guest to get the policy; "" says nothing.
WAYS = {
    "shared": [("shared", ""), ("shared", "shared"), ("", "shared")],
    "dedicated": [
        ("dedicated", ""),
        ("dedicated", "dedicated"),
        ("dedicated", "mixed"),
        ("dedicated", "shared"),
        ("", "dedicated"),
    ],
    "mixed": [("mixed", ""), ("mixed", "mixed"), ("", "mixed")],
}


def cases(seed: int, count: int) -> Iterator[Case]:
    """So many (host, flavor, image, request), the same for a seed; about half of them fit."""
    rng = Random(seed)
    for _ in range(count):
        yield _likely_case(rng)


def unequal_cases(seed: int, count: int) -> Iterator[Case]:
    """Guests of 4 unequal dedicated cells on hosts of 8 cells."""
    rng = Random(seed)
    for _ in range(count):
        yield _case(rng, random_host(rng, 8), 4, "dedicated", "explicit")


def sparing_cases(seed: int, count: int) -> Iterator[Case]:
    """Guests that any page size suits, most of whose memory guests that float have left."""
    rng = Random(seed)
    while count:
        host = random_host(rng, rng.choice([2, 3, 4]))
        guest_cells = rng.randint(1, len(host["cells"]))
        case = _case(rng, host, guest_cells, rng.choice(["dedicated", "shared"]), "explicit")
        if case[3]["page_size"] == "any" and fits(host | {"floating_memory_mb": 0}, case[3]):
            cells, wanted = cells_of(host), case[3]
            left_mb = floating_left_kb(host | {"floating_memory_mb": 0}, cells, wanted) // 1024
            host["floating_memory_mb"] = max(0, left_mb - rng.randint(0, wanted["memory_mb"]))
            yield case
            count -= 1


def _likely_case(rng: Random) -> Case:
    """A case that fits, or one of the others, which are more, at times."""
    while True:
        host = random_host(rng, rng.choice([1, 2, 3, 3, 4, 4]))
        room = len(host["cells"])
        guest_cells = max(rng.randint(1, room), rng.randint(1, room))
        guest_cells = min(4, guest_cells + (rng.random() < 0.02))
        policy = rng.choice(["dedicated", "mixed", "mixed", "shared"])
        case = _case(rng, host, guest_cells, policy, rng.choice(STYLES[policy]))
        if rng.random() < 0.25 or fits(host, case[3]):
            return case


def _case(rng: Random, host: Json, guest_cells: int, policy: str, style: str) -> Case:
    request = random_request(rng, host, policy, guest_cells, style)
    properties: Specs = {}
    specs = _policy_specs(rng, request, style, properties)
    specs |= _numa_specs(rng, request, style)
    specs |= _thread_specs(rng, request, properties) | _realtime_specs(rng, request, properties)
    specs |= _page_specs(rng, request)
    flavor = {
        "name": "m",
        "vcpus": request["vcpus"],
        "memory_mb": request["memory_mb"],
        "extra_specs": specs,
    }
    image = {"properties": properties} if properties or rng.random() < 0.2 else None
    return host, flavor, image, request


def _policy_specs(rng: Random, request: Json, style: str, properties: Specs) -> Specs:
    """The CPU policy by flavor and image (R1), or by `resources:` (R2); and the dedicated mask."""
    policy, specs = request["policy"], {}
    if style == "dealt" or (policy != "mixed" and rng.random() < 0.15):
        return _resource_specs(rng, request)
    if style == "plain" and rng.random() < 0.3:
        return {}
    by_flavor, by_image = rng.choice(WAYS[policy])
    if by_flavor:
        specs["hw:cpu_policy"] = by_flavor
    if by_image:
        properties["hw_cpu_policy"] = by_image
    if policy == "mixed" and not request["realtime"]:
        specs["hw:cpu_dedicated_mask"] = format_cpus(_dedicated(request))
    return specs


def _resource_specs(rng: Random, request: Json) -> Specs:
    """R3: the counts, with one PCPU more for `isolate`; granular groups are summed."""
    if not request["cells"]:
        return {"resources:VCPU": str(request["vcpus"])}
    extra = int(request["emulator_threads_policy"] == "isolate")
    pcpus = len(_dedicated(request)) + extra
    vcpus = sum(len(cell["shared"]) for cell in request["cells"])
    specs = {"resources:PCPU": str(pcpus)} if pcpus else {}
    if pcpus > 1 and rng.random() < 0.2:
        specs = {"resources1:PCPU": "1", "resources2:PCPU": str(pcpus - 1)}
    return specs | ({"resources:VCPU": str(vcpus)} if vcpus else {})


def _dedicated(request: Json) -> list[int]:
    return [vcpu for cell in request["cells"] for vcpu in cell["dedicated"]]


def _numa_specs(rng: Random, request: Json, style: str) -> Specs:
    """R8: each cell's vCPUs and memory, or even division, or nothing where one cell is implied."""
    cells = request["cells"]
    implied = len(cells) == 1 and request["policy"] != "shared" and rng.random() < 0.5
    if style == "plain" or implied:
        return {}
    specs = {"hw:numa_nodes": str(len(cells))}
    if style == "explicit":
        for index, cell in enumerate(cells):
            specs[f"hw:numa_cpus.{index}"] = format_cpus(cell["shared"] + cell["dedicated"])
            specs[f"hw:numa_mem.{index}"] = str(cell["memory_mb"])
    return specs


def _thread_specs(rng: Random, request: Json, properties: Specs) -> Specs:
    """R9 to R11: the thread policy by flavor, image or trait; the emulator threads policy."""
    specs = {}
    threads, emulator = request["thread_policy"], request["emulator_threads_policy"]
    if emulator:
        specs["hw:emulator_threads_policy"] = emulator
    way = rng.random()
    if threads in THREAD_TRAITS and way < 0.1:
        specs["trait:HW_CPU_HYPERTHREADING"] = THREAD_TRAITS[threads]
    elif threads and "hw_cpu_policy" in properties and way < 0.4:
        properties["hw_cpu_thread_policy"] = threads
    elif threads:
        specs["hw:cpu_thread_policy"] = threads
    return specs


def _realtime_specs(rng: Random, request: Json, properties: Specs) -> Specs:
    """R5, R6: the realtime mask, by the image too; as a list, or as all but a list."""
    if not request["realtime"]:
        return {}
    others = sorted(set(range(request["vcpus"])) - set(request["realtime"]))
    mask = format_cpus(request["realtime"])
    if others and rng.random() < 0.5:
        mask = ",".join(f"^{part}" for part in format_cpus(others).split(","))
    if rng.random() < 0.2:
        properties["hw_cpu_realtime_mask"] = mask
        return {"hw:cpu_realtime": "yes"}
    return {"hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": mask}


def _page_specs(rng: Random, request: Json) -> Specs:
    """R9: a word, or a size in KiB or by name."""
    size = request["page_size"]
    if size is None:
        return {}
    name = SIZE_NAMES.get(size, str(size)) if rng.random() < 0.3 else str(size)
    return {"hw:mem_page_size": name}
