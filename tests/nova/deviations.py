"""Where the project means to differ from Nova: a predicate and the expected outcome for each.

A table, tried from the top. The outcome of the first row that applies is the expected answer. It
is a refusal, or Nova's answer to another case, to which the rows below apply in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import outcomes, readings
from .answers import Answer, Ask, Outcome
from .cases import Case, Texts


@dataclass(frozen=True)
class Deviation:
    """One difference: why it is, when it shows, what is expected, and a case that shows it."""

    why: str
    applies: Callable[[Case], bool]
    outcome: Outcome
    example: Case


def expected(case: Case, nova: Ask, first: int = 0) -> Answer | None:
    """Return what the project has to answer: Nova's answer, or the outcome of a deviation."""
    for index, deviation in enumerate(DEVIATIONS[first:], first):
        if deviation.applies(case):
            return deviation.outcome(case, partial(expected, nova=nova, first=index + 1))
    return nova(case)


def _case(specs: Texts, props: Texts | None = None) -> Case:
    return Case(4, 512, specs, props or {})


_TRAIT = "trait:HW_CPU_HYPERTHREADING"
_TWO_NODES = {"hw:numa_nodes": "2", "hw:numa_mem.0": "256", "hw:numa_mem.1": "256"}

DEVIATIONS = (
    Deviation(
        "R1: a mixed flavor and a shared image conflict; Nova takes the flavor's policy",
        readings.mixed_with_shared_image,
        outcomes.refused,
        _case(
            {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}, {"hw_cpu_policy": "shared"}
        ),
    ),
    Deviation(
        "An empty value is a mistake; for Nova it is no value at all",
        readings.empty_word,
        outcomes.refused,
        _case({"hw:cpu_policy": ""}),
    ),
    Deviation(
        "R3: a count that is no number is a mistake; Nova's constraints pass over it",
        readings.odd_count,
        outcomes.refused,
        _case({"resources:PCPU": "four"}),
    ),
    Deviation(
        "A boolean that is none is a mistake; for Nova it is False",
        readings.odd_realtime,
        outcomes.refused,
        _case({"hw:cpu_policy": "dedicated", "hw:cpu_realtime": "enabled"}),
    ),
    Deviation(
        "CPU sets are in the kernel's list form; Nova takes empty elements, and blanks in ranges",
        readings.odd_cpu_set,
        outcomes.refused,
        _case({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0,,1"}),
    ),
    Deviation(
        "Pages have a size, in whole KiB, MiB, GiB or TiB; Nova also takes bits, fractions and 0",
        readings.odd_page_size,
        outcomes.refused,
        _case({"hw:mem_page_size": "16Mbit"}),
    ),
    Deviation(
        "Nodes and their memory are counted in digits, from 1; Nova takes what Python's int does",
        readings.odd_node_number,
        outcomes.refused,
        _case({}, {"hw_numa_nodes": "+2"}),
    ),
    Deviation(
        "R8: nodes in flavor and image are an error; Nova looks at those before a gap only",
        readings.nodes_in_both_places,
        outcomes.refused,
        _case(
            {**_TWO_NODES, "hw:numa_cpus.0": "0-1", "hw:numa_cpus.1": "2-3"}, {"hw_numa_mem.1": "9"}
        ),
    ),
    Deviation(
        "R8: the nodes described are those counted; Nova passes over what stands behind a gap",
        readings.incomplete_nodes,
        outcomes.refused,
        _case({"hw:numa_nodes": "1", "hw:numa_cpus.1": "2-3", "hw:numa_mem.1": "256"}),
    ),
    Deviation(
        "R10: the trait is required or forbidden; Nova passes over other values",
        readings.odd_trait,
        outcomes.refused,
        _case({"hw:cpu_policy": "dedicated", _TRAIT: "maybe"}),
    ),
    Deviation(
        "R3: all granular groups are summed; Nova's constraints know numbered ones only",
        lambda case: readings.named_group(case.specs, readings.COUNT),
        outcomes.summed,
        _case({"resources_A:PCPU": "4"}),
    ),
    Deviation(
        "R3: a count of shared vCPUs that is not the flavor's is an error; Nova lets it pass",
        readings.wrong_shared_count,
        outcomes.refused,
        _case({"resources:VCPU": "3"}),
    ),
    Deviation(
        "R2, R7: PCPU and VCPU together are a mixed guest; Nova refuses them",
        readings.dealt,
        outcomes.with_dealt_mask,
        _case({"resources:VCPU": "1", "resources:PCPU": "3", "hw:numa_nodes": "2"}),
    ),
    Deviation(
        "R10: a trait counts in a named group too; Nova knows numbered ones only",
        lambda case: readings.named_group(case.specs, readings.TRAIT),
        outcomes.in_plain_group,
        _case({"hw:cpu_policy": "dedicated", "trait_A:HW_CPU_HYPERTHREADING": "forbidden"}),
    ),
    Deviation(
        "R10: an image may forbid hyperthreading too; Nova sees only that it requires it",
        readings.image_forbids,
        outcomes.with_specs(trait__HW_CPU_HYPERTHREADING="forbidden"),
        _case({"hw:cpu_policy": "dedicated"}, {_TRAIT: "forbidden"}),
    ),
    Deviation(
        "A flavor's node count may have zeros in front, as an image's may in Nova too",
        readings.padded_node_count,
        outcomes.count_unpadded,
        _case({"hw:numa_nodes": "02"}),
    ),
    Deviation(
        "R8: to describe one node is to ask for it; Nova passes over it without hw:numa_nodes",
        readings.describes_uncounted_nodes,
        outcomes.with_specs(hw__numa_nodes="1"),
        _case({"hw:numa_cpus.0": "0-3", "hw:numa_mem.0": "512"}),
    ),
    Deviation(
        "R4: `^` in front means all but, wherever vCPUs are named; in Nova's nodes it is no vCPU",
        readings.excluding_node,
        outcomes.all_but,
        _case({**_TWO_NODES, "hw:numa_cpus.0": "0-1", "hw:numa_cpus.1": "^0-1"}),
    ),
    Deviation(
        "R8: every node has a vCPU; Nova takes a node without",
        readings.describes_nodes,
        outcomes.no_node_without_vcpus,
        _case({**_TWO_NODES, "hw:numa_cpus.0": "0-3", "hw:numa_cpus.1": "0,^0"}),
    ),
    Deviation(
        "R5: a mixed guest has a shared vCPU; Nova takes a realtime mask that leaves none",
        readings.realtime,
        outcomes.no_mixed_guest_without_shared,
        _case(
            {
                "hw:cpu_policy": "mixed",
                "hw:cpu_realtime": "yes",
                "hw:emulator_threads_policy": "share",
            }
        ),
    ),
)
