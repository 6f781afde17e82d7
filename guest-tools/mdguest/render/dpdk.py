"""Arguments of DPDK's environment abstraction layer: which CPUs run its lcores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.cpuset import CpuSet
    from mdguest.render.split import Split

PATH = "/etc/default/mdguest-dpdk"

MAX_LCORE = 128
"""RTE_MAX_LCORE of a default build. An lcore's number is below it; its CPU's need not be."""

NOTES = """
The main lcore is meant for control and does not forward packets. DPDK's own control threads (its
interrupt thread, telemetry, ...) take the CPUs that the program was started on, less those of
lcores; inside dedicated.slice none is left, and then DPDK puts them on the main lcore's CPU.
So let the application launch its polling on the workers only, as testpmd does.
Before DPDK 20.11 the option is --master-lcore.
"""

MAPPED = f"""
Lcores are numbered below {MAX_LCORE}, so these are mapped to CPUs. From DPDK 25.11 on
`-R -l {{cpus}} --main-lcore=0` says the same.
"""

TOO_MANY = f"""
A program has at most {MAX_LCORE} lcores unless DPDK was built for more: not all CPUs are used.
"""

NO_WORKER = """
Only one CPU is dedicated: control threads and polling share it. A second one would end that.
"""


def lcores(cpus: CpuSet) -> str:
    """The CPUs as EAL's lcores: ``2,3``, or where a number is too high for one ``0@126,1@128``.

    No more than a program can have.
    """
    listed = list(cpus)
    if not listed or listed[-1] < MAX_LCORE:
        return ",".join(map(str, listed))
    return ",".join(f"{lcore}@{cpu}" for lcore, cpu in enumerate(listed[:MAX_LCORE]))


def arguments(cpus: Split) -> str:
    """The arguments alone: ``-l 2-3 --main-lcore=2``."""
    dedicated = list(cpus.usable)
    if dedicated[-1] < MAX_LCORE:
        return f"-l {cpus.usable} --main-lcore={dedicated[0]}"
    return f"--lcores={lcores(cpus.usable)} --main-lcore=0"


def render(cpus: Split) -> str:
    """A file for a service's EnvironmentFile=, or for a shell to source."""
    guide = Guide(
        put=PATH,
        activate=f"EnvironmentFile={PATH} and $EAL_ARGS in ExecStart=; "
        f"or in a shell: . {PATH}; mdguest run -- dpdk-testpmd $EAL_ARGS -- ...",
        undo="remove this file and its uses",
        notes=NOTES + _numbers(cpus) + _nodes(cpus),
    )
    top = heading("dpdk", cpus, guide)
    return f'{top}EAL_ARGS="{arguments(cpus)}"\n'


def _numbers(cpus: Split) -> str:
    """What there is to say where too few or too many CPUs are dedicated."""
    if len(cpus.usable) == 1:
        return NO_WORKER
    mapped = MAPPED.format(cpus=cpus.usable) if list(cpus.usable)[-1] >= MAX_LCORE else ""
    return mapped + (TOO_MANY if len(cpus.usable) > MAX_LCORE else "")


def _nodes(cpus: Split) -> str:
    """Where there are several NUMA nodes, which lcores are near which memory."""
    if len(cpus.numa) < 2:
        return ""
    near = [f"node {node}: {cpus.usable & own}" for node, own in enumerate(cpus.numa)]
    return f"\nDedicated CPUs by NUMA node ({'; '.join(near)}): poll a device from its own node.\n"
