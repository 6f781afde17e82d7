"""Splits of a guest's CPUs to render for: some by hand, any by hypothesis."""

from __future__ import annotations

from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from mdguest.cpuset import CpuSet
from mdguest.render import Split

FEW = settings(max_examples=40, deadline=None)
"""Renderers have few branches, and a machine in use has no deadlines to keep."""


def split(
    dedicated: str,
    housekeeping: str,
    *numa: str,
    partition: Literal["isolated", "root"] = "isolated",
) -> Split:
    nodes = tuple(CpuSet.parse(node) for node in numa)
    return Split(CpuSet.parse(dedicated), CpuSet.parse(housekeeping), nodes, partition)


@st.composite
def splits(draw: st.DrawFn, last: int = 300) -> Split:
    """Any guest with a CPU on either side: holes, CPU 0 dedicated, several NUMA nodes."""
    online = draw(st.sets(st.integers(0, last), min_size=2, max_size=40))
    dedicated = draw(st.sets(st.sampled_from(sorted(online)), min_size=1, max_size=len(online) - 1))
    cut = draw(st.integers(0, last))
    nodes = (CpuSet.of(c for c in online if c <= cut), CpuSet.of(c for c in online if c > cut))
    return Split(
        CpuSet.of(dedicated),
        CpuSet.of(online - dedicated),
        tuple(node for node in nodes if node),
        draw(st.sampled_from(("isolated", "root"))),
    )
