"""Random flavors and images: a sound guest from the tables, often with one value spoilt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

Texts: TypeAlias = Mapping[str, str]
Pair: TypeAlias = tuple[Texts, Texts]
"""Extra specs and image properties, with the names of `_words` in braces."""


@dataclass(frozen=True)
class Case:
    """One flavor with one image."""

    vcpus: int
    memory_mb: int
    specs: Texts
    props: Texts


VCPUS = (1, 2, 3, 4, 4, 6, 8, 8, 12)
MEMORY_MB = (512, 768, 1000, 1024)
MASKS = ("0", "{last}", "1-{last}", "^0", "^0-1", "^{last}", "0,{last}", "^0,1", "0-{half},^0")

POLICIES: Sequence[Pair] = (
    ({}, {}),
    ({"hw:cpu_policy": "shared"}, {}),
    ({}, {"hw_cpu_policy": "shared"}),
    ({"hw:cpu_policy": "dedicated"}, {}),
    ({"hw:cpu_policy": "dedicated"}, {"hw_cpu_policy": "shared"}),
    ({}, {"hw_cpu_policy": "dedicated"}),
    ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "{mask}"}, {"hw_cpu_policy": "shared"}),
    ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "{mask}"}, {}),
    ({"hw:cpu_dedicated_mask": "{mask}"}, {"hw_cpu_policy": "mixed"}),
    ({"hw:cpu_policy": "mixed", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "{mask}"}, {}),
    ({"hw:cpu_policy": "mixed", "hw:cpu_realtime": "1"}, {"hw_cpu_realtime_mask": "{mask}"}),
    ({"hw:cpu_policy": "dedicated", "hw:cpu_realtime": "on", "hw:cpu_realtime_mask": "^0"}, {}),
    ({"resources:PCPU": "{n}"}, {}),
    ({"resources:PCPU": "{more}", "hw:emulator_threads_policy": "isolate"}, {}),
    ({"resources1:PCPU": "{some}", "resources2:PCPU": "{rest}"}, {}),
    ({"resources:VCPU": "{n}"}, {}),
    ({"resources:VCPU": "{some}", "resources:PCPU": "{rest}"}, {}),
    ({"resources_A:VCPU": "{some}", "resources_B:PCPU": "{rest}"}, {}),
    (
        {
            "resources:VCPU": "{some}",
            "resources:PCPU": "{rest_and_one}",
            "hw:emulator_threads_policy": "isolate",
        },
        {},
    ),
    (
        {
            "resources:VCPU": "{some}",
            "resources:PCPU": "{rest}",
            "hw:cpu_realtime": "yes",
            "hw:cpu_realtime_mask": "{last}",
        },
        {},
    ),
)

_TWO_NODES = {"hw:numa_nodes": "2", "hw:numa_mem.0": "1", "hw:numa_mem.1": "{memory_but_one}"}

# One of each is added to a fair share of the cases.
OPTIONS: Sequence[Sequence[Pair]] = (
    (
        ({"hw:numa_nodes": "1"}, {}),
        ({"hw:numa_nodes": "2"}, {}),
        ({"hw:numa_nodes": "4"}, {}),
        ({}, {"hw_numa_nodes": "2"}),
        ({"hw:numa_cpus.0": "0-{last}", "hw:numa_mem.0": "{memory}"}, {}),
        ({**_TWO_NODES, "hw:numa_cpus.0": "0", "hw:numa_cpus.1": "^0"}, {}),
        ({**_TWO_NODES, "hw:numa_cpus.0": "0-{last}", "hw:numa_cpus.1": "0,^0"}, {}),
    ),
    (
        ({"hw:mem_page_size": "large"}, {}),
        ({"hw:mem_page_size": "2MB"}, {}),
        ({"hw:mem_page_size": "any"}, {"hw_mem_page_size": "1GiB"}),
        ({"hw:mem_page_size": "large"}, {"hw_mem_page_size": "small"}),
        ({"hw:mem_page_size": "small"}, {"hw_mem_page_size": "small"}),
    ),
    (
        ({"hw:cpu_thread_policy": "isolate"}, {}),
        ({"hw:cpu_thread_policy": "prefer"}, {"hw_cpu_thread_policy": "isolate"}),
        ({}, {"hw_cpu_thread_policy": "require"}),
        ({"trait:HW_CPU_HYPERTHREADING": "required"}, {}),
        ({"trait2:HW_CPU_HYPERTHREADING": "forbidden"}, {}),
        ({"trait_X:HW_CPU_HYPERTHREADING": "forbidden"}, {}),
        ({"trait:HW_CPU_HYPERTHREADING": "maybe"}, {}),
        ({}, {"trait:HW_CPU_HYPERTHREADING": "required"}),
        ({}, {"trait:HW_CPU_HYPERTHREADING": "forbidden"}),
    ),
    (
        ({"hw:emulator_threads_policy": "share"}, {}),
        ({"hw:emulator_threads_policy": "isolate"}, {}),
    ),
)

_ALL_MASKS = (*MASKS, "", "^", "x", "3-2", "0,,1", " 1 - 2 ", "0-{last}", "0-{n}", "^0-{last}")
_POLICY_WORDS = ("dedicated", "mixed", "shared", "Shared", "")
_THREAD_WORDS = ("prefer", "isolate", "require", "none", "")
_NUMBERS = ("1", "2", "3", "02", " 2", "+2", "0", "-1", "2.0", "x", "")
_COUNTS = ("0", "1", "{some}", "{n}", "{more}", "-1", "x", "")
_PAGES = (
    *("small", "large", "any", "4", "2048", "2MB", "2MiB", "1GB", "2048KB", "0", "-1", ""),
    *("SMALL", "2M", "2mb", "2048kB", "16Mb", "1.5MB", "4096B", "1PB", "2 MB"),
)
_MEMORIES = ("256", "512", "{memory}", "+256", " 512", "0", "-1", "x", "")

# One key of a case may get one of these values, in place of what it had.
SPOILT_SPECS: Mapping[str, Sequence[str]] = {
    "hw:cpu_policy": _POLICY_WORDS,
    "hw:cpu_thread_policy": _THREAD_WORDS,
    "hw:emulator_threads_policy": ("isolate", "share", "none", ""),
    "hw:cpu_dedicated_mask": _ALL_MASKS,
    "hw:cpu_realtime": ("yes", "TRUE", " on ", "y", "no", "off", "enabled", "2", ""),
    "hw:cpu_realtime_mask": _ALL_MASKS,
    "hw:numa_nodes": _NUMBERS,
    "hw:numa_cpus.0": _ALL_MASKS,
    "hw:numa_cpus.1": _ALL_MASKS,
    "hw:numa_mem.0": _MEMORIES,
    "hw:numa_mem.1": _MEMORIES,
    "hw:mem_page_size": _PAGES,
    "resources:VCPU": _COUNTS,
    "resources:PCPU": _COUNTS,
    "resources7:PCPU": _COUNTS,
    "resources_X:VCPU": _COUNTS,
}
SPOILT_PROPS: Mapping[str, Sequence[str]] = {
    "hw_cpu_policy": _POLICY_WORDS,
    "hw_cpu_thread_policy": _THREAD_WORDS,
    "hw_cpu_realtime_mask": _ALL_MASKS,
    "hw_numa_nodes": _NUMBERS,
    "hw_numa_cpus.0": _ALL_MASKS,
    "hw_numa_mem.0": _MEMORIES,
    "hw_mem_page_size": _PAGES,
    "trait:HW_CPU_HYPERTHREADING": ("required", "forbidden", "maybe"),
}


def random_case(random: Random) -> Case:
    """Make one case; the same random state makes the same one."""
    vcpus, memory_mb = random.choice(VCPUS), random.choice(MEMORY_MB)
    words = _words(random, vcpus, memory_mb)
    pairs = [random.choice(POLICIES)]
    pairs += [random.choice(option) for option in OPTIONS if random.random() < 0.25]
    if random.random() < 0.2:
        pairs.append(_explicit_nodes(random, vcpus, memory_mb))
    if random.random() < 0.35:
        pairs.append(_spoilt(random))
    specs = {key: text.format(**words) for pair in pairs for key, text in pair[0].items()}
    props = {key: text.format(**words) for pair in pairs for key, text in pair[1].items()}
    return Case(vcpus, memory_mb, specs, props)


def _words(random: Random, vcpus: int, memory_mb: int) -> dict[str, object]:
    """What the tables' braces stand for in a flavor of this size."""
    numbers = {"n": vcpus, "more": vcpus + 1, "last": vcpus - 1, "half": vcpus // 2}
    some = random.randint(1, max(1, vcpus - 1))
    rest = {"some": some, "rest": vcpus - some, "rest_and_one": vcpus - some + 1}
    mask = random.choice(MASKS).format(**numbers)
    return {**numbers, **rest, "mask": mask, "memory": memory_mb, "memory_but_one": memory_mb - 1}


def _explicit_nodes(random: Random, vcpus: int, memory_mb: int) -> Pair:
    """Deal the vCPUs and the memory to up to three nodes, in the flavor or in the image."""
    count = random.randint(1, min(3, vcpus))
    order = random.sample(range(vcpus), vcpus)
    memory = [memory_mb // (count + 1)] * (count - 1)
    memory.append(memory_mb - sum(memory))
    prefix = random.choice(("hw:", "hw:", "hw_"))
    found = {f"{prefix}numa_nodes": str(count)}
    for node in range(count):
        found[f"{prefix}numa_cpus.{node}"] = ",".join(map(str, sorted(order[node::count])))
        found[f"{prefix}numa_mem.{node}"] = str(memory[node])
    return (found, {}) if prefix == "hw:" else ({}, found)


def _spoilt(random: Random) -> Pair:
    if random.random() < 0.7:
        key = random.choice(sorted(SPOILT_SPECS))
        return {key: random.choice(SPOILT_SPECS[key])}, {}
    key = random.choice(sorted(SPOILT_PROPS))
    return {}, {key: random.choice(SPOILT_PROPS[key])}
