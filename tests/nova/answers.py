"""One form for what Nova and the project make of a flavor and an image, so that they compare."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from mdsvc.errors import InvalidRequest
from mdsvc.policy.flavor import Flavor, Image, request

from .cases import Case
from .client import Json, Oracle

Vcpus: TypeAlias = tuple[int, ...]

SYMBOLS = {-1: "small", -2: "large", -3: "any"}
"""Nova's numbers for the kinds of page sizes."""


@dataclass(frozen=True)
class Node:
    """A guest NUMA node: its shared and its dedicated vCPUs, and its memory."""

    shared: Vcpus
    dedicated: Vcpus
    memory_mb: int


@dataclass(frozen=True)
class Answer:
    """An accepted request. No nodes: no NUMA topology."""

    policy: str
    thread_policy: str | None
    emulator_policy: str | None
    page_size: str | int | None
    realtime: Vcpus
    nodes: tuple[Node, ...]

    @property
    def dedicated(self) -> frozenset[int]:
        return frozenset(vcpu for node in self.nodes for vcpu in node.dedicated)


Ask: TypeAlias = Callable[[Case], Answer | None]
"""None: refused."""

Outcome: TypeAlias = Callable[[Case, Ask], Answer | None]
"""What is expected of a case, where Nova may be asked about others."""


def ask_project(case: Case) -> Answer | None:
    """Return what the project makes of the case."""
    flavor = Flavor(vcpus=case.vcpus, memory_mb=case.memory_mb, extra_specs=dict(case.specs))
    try:
        found = request(flavor, Image(properties=dict(case.props)))
    except InvalidRequest:
        return None
    return Answer(
        policy=found.cpu_policy,
        thread_policy=found.cpu_thread_policy,
        emulator_policy=found.emulator_threads_policy,
        page_size=found.page_size,
        realtime=tuple(found.realtime),
        nodes=tuple(
            Node(tuple(cell.shared), tuple(cell.dedicated), cell.memory_mb) for cell in found.cells
        ),
    )


def ask_nova(oracle: Oracle, case: Case) -> Answer | None:
    """Return what Nova makes of it; no policy is `shared`, as it is in Nova's scheduler."""
    flavor = {"vcpus": case.vcpus, "memory_mb": case.memory_mb, "extra_specs": dict(case.specs)}
    found = oracle.flavor(flavor, {"properties": dict(case.props)})
    if not found["ok"]:
        return None
    cells: list[Json] = found["cells"] or []
    page_size: int | None = cells[0]["pagesize"] if cells else None
    return Answer(
        policy=found["policy"] or "shared",
        thread_policy=found["thread_policy"],
        emulator_policy=found["emulator_threads_policy"],
        page_size=SYMBOLS.get(page_size or 0, page_size),
        realtime=tuple(found["realtime"]),
        nodes=tuple(
            Node(tuple(cell["cpuset"]), tuple(cell["pcpuset"]), cell["memory_mb"]) for cell in cells
        ),
    )
