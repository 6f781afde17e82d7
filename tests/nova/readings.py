"""What a flavor and an image say, as far as it decides on a deviation from Nova."""

import re
from collections.abc import Iterator

from .cases import Case, Texts

COUNT = re.compile(r"resources([A-Za-z0-9_-]*):([VP]CPU)")
TRAIT = re.compile(r"trait([A-Za-z0-9_-]*):HW_CPU_HYPERTHREADING")

_NOVA_GROUP = re.compile(r"([1-9][0-9]*)?")
_NODE_KEY = re.compile(r"hw[:_](numa_cpus|numa_mem)\.([0-9]+)")
_CPU_SET = re.compile(r"\s*\^?\d+(-\d+)?\s*(,\s*\^?\d+(-\d+)?\s*)*")
_PAGE_SIZE = re.compile(r"small|large|any|0*[1-9]\d*([KMGT]i?B)?")
_NO = ("0", "f", "false", "off", "n", "no")
_YES = ("1", "t", "true", "on", "y", "yes")
_WORDS = (
    *("hw:cpu_policy", "hw:cpu_thread_policy", "hw:emulator_threads_policy"),
    *("hw:cpu_dedicated_mask", "hw:numa_nodes", "hw:mem_page_size"),
)


def without(texts: Texts, pattern: re.Pattern[str]) -> dict[str, str]:
    """The texts but for the keys that match."""
    return {key: value for key, value in texts.items() if not pattern.fullmatch(key)}


# ---- policies and counts ----


def mixed_with_shared_image(case: Case) -> bool:
    return (case.specs.get("hw:cpu_policy"), case.props.get("hw_cpu_policy")) == (
        "mixed",
        "shared",
    )


def empty_word(case: Case) -> bool:
    return any(case.specs.get(key) == "" for key in _WORDS)


def counts(case: Case) -> dict[str, int]:
    """The sums over all groups, named ones too."""
    totals = {"VCPU": 0, "PCPU": 0}
    for key, value in case.specs.items():
        if match := COUNT.fullmatch(key):
            totals[match[2]] += int(value)
    return totals


def odd_count(case: Case) -> bool:
    return any(
        COUNT.fullmatch(key) and not re.fullmatch("[0-9]+", value)
        for key, value in case.specs.items()
    )


def wrong_shared_count(case: Case) -> bool:
    found = counts(case)
    return not found["PCPU"] and found["VCPU"] not in (0, case.vcpus)


def dealt(case: Case) -> bool:
    """Do counts of both kinds, and no policy, say how many vCPUs are dedicated?"""
    no_policy = "hw:cpu_policy" not in case.specs and "hw_cpu_policy" not in case.props
    return no_policy and all(counts(case).values())


def named_group(texts: Texts, pattern: re.Pattern[str]) -> bool:
    """Is there a group with a name that is no number? Nova knows numbered groups only."""
    matches = filter(None, map(pattern.fullmatch, texts))
    return any(not _NOVA_GROUP.fullmatch(match[1]) for match in matches)


def odd_trait(case: Case) -> bool:
    """Is the trait that counts, the flavor's before the image's, no known word?"""
    values = [value for key, value in case.specs.items() if TRAIT.fullmatch(key)]
    values = values or [value for key, value in case.props.items() if TRAIT.fullmatch(key)]
    return any(value not in ("required", "forbidden") for value in values)


def image_forbids(case: Case) -> bool:
    in_flavor = any(map(TRAIT.fullmatch, case.specs))
    return not in_flavor and case.props.get("trait:HW_CPU_HYPERTHREADING") == "forbidden"


# ---- masks and pages ----


def realtime(case: Case) -> bool:
    return _realtime_word(case) in _YES


def odd_realtime(case: Case) -> bool:
    return _realtime_word(case) not in (*_YES, *_NO)


def odd_cpu_set(case: Case) -> bool:
    return not all(map(_CPU_SET.fullmatch, _cpu_sets(case)))


def odd_page_size(case: Case) -> bool:
    wanted = [case.specs.get("hw:mem_page_size"), case.props.get("hw_mem_page_size")]
    return any(size is not None and not _PAGE_SIZE.fullmatch(size) for size in wanted)


def _realtime_word(case: Case) -> str:
    return case.specs.get("hw:cpu_realtime", "no").strip().lower()


def _cpu_sets(case: Case) -> Iterator[str]:
    """The CPU sets that count: a realtime mask only with realtime, and the image's first."""
    if "hw:cpu_dedicated_mask" in case.specs:
        yield case.specs["hw:cpu_dedicated_mask"]
    if realtime(case):
        image, flavor = (
            case.props.get("hw_cpu_realtime_mask"),
            case.specs.get("hw:cpu_realtime_mask"),
        )
        yield from [mask for mask in (image, flavor) if mask is not None][:1]
    for source in (case.specs, case.props):
        yield from (value for key, value in source.items() if "numa_cpus." in key)


# ---- guest NUMA nodes ----


def describes_nodes(case: Case) -> bool:
    return any(_NODE_KEY.fullmatch(key) for key in (*case.specs, *case.props))


def describes_uncounted_nodes(case: Case) -> bool:
    counted = "hw:numa_nodes" in case.specs or "hw_numa_nodes" in case.props
    return describes_nodes(case) and not counted


def nodes_in_both_places(case: Case) -> bool:
    specs, props = _node_keys(case.specs), _node_keys(case.props)
    return any(specs[kind] and props[kind] for kind in specs)


def incomplete_nodes(case: Case) -> bool:
    count = case.specs.get("hw:numa_nodes", case.props.get("hw_numa_nodes", "1"))
    if not describes_nodes(case) or not count.isdecimal():
        return False
    specs, props = _node_keys(case.specs), _node_keys(case.props)
    return any(specs[kind] | props[kind] != set(range(int(count))) for kind in specs)


def odd_node_number(case: Case) -> bool:
    """Is the image's node count or a node's memory in a form that only Python's `int` takes?"""
    numbers = [case.props.get("hw_numa_nodes", "1")]
    for source in (case.specs, case.props):
        numbers += [value for key, value in source.items() if "numa_mem." in key]
    return any(not re.fullmatch("[0-9]+", number) or not int(number) for number in numbers)


def padded_node_count(case: Case) -> bool:
    return bool(re.fullmatch("0+[1-9][0-9]*", case.specs.get("hw:numa_nodes", "")))


def excludes_cpus(key: str, value: str) -> bool:
    return "numa_cpus." in key and value.strip().startswith("^")


def excluding_node(case: Case) -> bool:
    return any(excludes_cpus(*item) for item in (*case.specs.items(), *case.props.items()))


def _node_keys(texts: Texts) -> dict[str, set[int]]:
    """The indexes of `numa_cpus.N` and of `numa_mem.N`."""
    found: dict[str, set[int]] = {"numa_cpus": set(), "numa_mem": set()}
    for key in texts:
        if match := _NODE_KEY.fullmatch(key):
            found[match[1]].add(int(match[2]))
    return found
