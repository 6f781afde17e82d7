"""What the project answers where it means to differ from Nova: nothing, or Nova's answer to
another case. None is a refusal.
"""

from dataclasses import replace

from . import readings
from .answers import Answer, Ask, Outcome
from .cases import Case, Texts


def refused(case: Case, ask: Ask) -> None:
    """The project refuses what Nova takes, or takes for something else."""


def with_specs(**changes: str) -> Outcome:
    """Nova's answer to the same case with these extra specs; `__` stands for the colon."""
    specs = {key.replace("__", ":"): value for key, value in changes.items()}
    return lambda case, ask: ask(replace(case, specs={**case.specs, **specs}))


def summed(case: Case, ask: Ask) -> Answer | None:
    sums = {f"resources:{kind}": str(n) for kind, n in readings.counts(case).items() if n}
    return ask(replace(case, specs={**readings.without(case.specs, readings.COUNT), **sums}))


def in_plain_group(case: Case, ask: Ask) -> Answer | None:
    [trait] = [value for key, value in case.specs.items() if readings.TRAIT.fullmatch(key)]
    specs = readings.without(case.specs, readings.TRAIT)
    return ask(replace(case, specs={**specs, "trait:HW_CPU_HYPERTHREADING": trait}))


def with_dealt_mask(case: Case, ask: Ask) -> Answer | None:
    """R7 in Nova's words: the same guest with a dedicated mask for what the deal leaves.

    Nova tells the nodes and the realtime vCPUs of the guest, had it dedicated vCPUs only.
    """
    counts = readings.counts(case)
    isolate = case.specs.get("hw:emulator_threads_policy") == "isolate"
    if sum(counts.values()) != case.vcpus + isolate or counts["PCPU"] == isolate == 1:
        return None
    specs = readings.without(case.specs, readings.COUNT)
    whole = ask(replace(case, specs={**specs, "hw:cpu_policy": "dedicated"}))
    if whole is None:
        return None
    shared = _deal([list(node.dedicated) for node in whole.nodes], counts["VCPU"])
    mask = ",".join(str(vcpu) for vcpu in range(case.vcpus) if vcpu not in shared)
    mixed = {**specs, "hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": mask}
    answer = ask(replace(case, specs={**mixed, "hw:cpu_realtime": "no"}))
    if answer is None or not answer.dedicated.issuperset(whole.realtime):
        return None
    return replace(answer, realtime=whole.realtime)


def _deal(nodes: list[list[int]], count: int) -> list[int]:
    """Take one vCPU of each node in turn, until there are as many as asked for."""
    dealt: list[int] = []
    while len(dealt) < count:
        for node in nodes:
            if node and len(dealt) < count:
                dealt.append(node.pop(0))
    return dealt


def count_unpadded(case: Case, ask: Ask) -> Answer | None:
    count = str(int(case.specs["hw:numa_nodes"]))
    return ask(replace(case, specs={**case.specs, "hw:numa_nodes": count}))


def all_but(case: Case, ask: Ask) -> Answer | None:
    def spelt(texts: Texts) -> Texts:
        everything = f"0-{case.vcpus - 1}"
        return {
            key: f"{everything},{value}" if readings.excludes_cpus(key, value) else value
            for key, value in texts.items()
        }

    return ask(replace(case, specs=spelt(case.specs), props=spelt(case.props)))


def no_node_without_vcpus(case: Case, ask: Ask) -> Answer | None:
    answer = ask(case)
    bare = answer and not all(node.shared + node.dedicated for node in answer.nodes)
    return None if bare else answer


def no_mixed_guest_without_shared(case: Case, ask: Ask) -> Answer | None:
    answer = ask(case)
    bare = answer and answer.policy == "mixed" and len(answer.dedicated) == case.vcpus
    return None if bare else answer
