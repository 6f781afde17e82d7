"""Flavor and image → Request: every rule of CPU policy lives here (R1-R10, R13).

vCPU numbers throughout. The rules are Nova's (``nova.virt.hardware.numa_get_constraints``) where
the requirements are silent; each error names the key, its value and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, cast

import msgspec

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.errors import InvalidRequest
from mdsvc.forms import Form
from mdsvc.names import Line
from mdsvc.policy import cpu_topology, guest_numa, resource_keys
from mdsvc.policy import extra_specs as read
from mdsvc.policy.extra_specs import Texts

Policy = Literal["dedicated", "shared", "mixed"]
ThreadPolicy = Literal["prefer", "isolate", "require"]
EmulatorPolicy = Literal["isolate", "share"]
PageSize = Literal["small", "large", "any"] | int
"""What a guest asks of its memory pages: a kind, or one size in KiB."""

VcpuCount = Annotated[int, msgspec.Meta(ge=1, le=4096)]
MemoryMb = Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class Flavor(Form, frozen=True):
    """What the operator sells. Extra specs may be written as JSON numbers and booleans too."""

    vcpus: VcpuCount
    memory_mb: MemoryMb
    name: Line = ""
    extra_specs: dict[str, Any] = {}  # of specs.Spec, checked by name

    def __post_init__(self) -> None:
        read.check(self.extra_specs, "extra_specs")


class Image(Form, frozen=True):
    """What the guest boots: Glance's properties, of which the ``hw_*`` ones matter here."""

    id: Line = ""
    name: Line = ""
    properties: dict[str, Any] = {}

    def __post_init__(self) -> None:
        read.check(self.properties, "properties")


class GuestCell(Form, frozen=True, dict=True):
    """One guest NUMA node: its vCPUs by kind, and its memory in MiB."""

    id: int
    shared: CpuSet
    dedicated: CpuSet
    memory_mb: int

    @cached_property
    def dedicated_vcpus(self) -> tuple[int, ...]:
        """The dedicated vCPUs, ascending."""
        return tuple(self.dedicated)


class Request(Form, frozen=True, dict=True):
    """What a guest asks of a host, resolved and checked. No cells = no NUMA topology."""

    vcpus: int
    memory_mb: int
    cpu_policy: Policy
    cpu_thread_policy: ThreadPolicy | None = None
    emulator_threads_policy: EmulatorPolicy | None = None
    page_size: PageSize | None = None
    realtime: CpuSet = EMPTY
    cells: tuple[GuestCell, ...] = ()

    @cached_property
    def dedicated(self) -> CpuSet:
        """The dedicated vCPUs of all cells."""
        return union(cell.dedicated for cell in self.cells)

    @cached_property
    def shared(self) -> CpuSet:
        """The shared vCPUs of all cells."""
        return union(cell.shared for cell in self.cells)

    @property
    def isolated_emulator(self) -> bool:
        """Whether one more pCPU is reserved for the emulator threads (R11)."""
        return self.emulator_threads_policy == "isolate"


def request(flavor: Flavor, image: Image | None = None) -> Request:
    """Resolve a flavor and an image. Raises InvalidRequest."""
    specs = read.texts(flavor.extra_specs)
    props = read.texts(image.properties if image else {})
    emulator: EmulatorPolicy | None = read.choice(specs, _EMULATOR, ("isolate", "share"))
    counts = _resource_counts(specs)
    policy = _policy(specs, props, counts)
    _check_counts(flavor.vcpus, counts, emulator == "isolate")
    threads = _thread_policy(specs, props)
    if policy == "shared":
        _check_needs_no_dedicated(specs, props)
    nodes = guest_numa.nodes(specs, props, flavor.vcpus, flavor.memory_mb)
    realtime = _realtime(specs, props, flavor.vcpus)
    if counts.mixed:
        dedicated = CpuSet.first(flavor.vcpus) - nodes.deal(counts.vcpu)
    else:
        dedicated = _DEDICATED[policy](specs, props, realtime, flavor.vcpus)
    _check_mask_belongs(specs, policy, counts)
    _check_realtime(specs, props, realtime, dedicated, flavor.vcpus)
    page_size = _page_size(specs, props)
    # checked here, obeyed in the domain and by Placement
    cpu_topology.wishes(specs, props, flavor.vcpus)
    resource_keys.resource_keys(specs, props)
    has_topology = policy != "shared" or nodes.asked_for or page_size is not None
    return Request(
        vcpus=flavor.vcpus,
        memory_mb=flavor.memory_mb,
        cpu_policy=policy,
        cpu_thread_policy=threads,
        emulator_threads_policy=emulator,
        page_size=page_size,
        realtime=realtime,
        cells=_cells(nodes, dedicated) if has_topology else (),
    )


def _cells(nodes: guest_numa.Nodes, dedicated: CpuSet) -> tuple[GuestCell, ...]:
    return tuple(
        GuestCell(id=node, shared=cpus - dedicated, dedicated=cpus & dedicated, memory_mb=memory)
        for node, (cpus, memory) in enumerate(zip(nodes.cpus, nodes.memory_mb, strict=True))
    )


# ---- the CPU policy (R1, R2) ----

_POLICY = "hw:cpu_policy"
_EMULATOR = "hw:emulator_threads_policy"
_POLICIES = ("dedicated", "mixed", "shared")

_MATRIX: Mapping[tuple[str | None, str | None], Policy | Literal["undefined"]] = {
    # (image, flavor); what is absent is a conflict
    ("dedicated", "dedicated"): "dedicated",
    ("dedicated", None): "dedicated",
    ("mixed", "dedicated"): "dedicated",
    ("mixed", "mixed"): "mixed",
    ("mixed", None): "mixed",
    ("shared", "dedicated"): "dedicated",
    ("shared", "shared"): "shared",
    ("shared", None): "shared",
    (None, "dedicated"): "dedicated",
    (None, "mixed"): "mixed",
    (None, "shared"): "shared",
    (None, None): "undefined",
}

_BY_RESOURCES: Mapping[tuple[bool, bool], Policy] = {
    # (PCPU asked for, VCPU asked for)
    (True, True): "mixed",
    (True, False): "dedicated",
    (False, True): "shared",
    (False, False): "shared",
}


class _Counts(msgspec.Struct, frozen=True):
    """The sums of the ``resources*:PCPU`` and ``resources*:VCPU`` keys."""

    pcpu: int = 0
    vcpu: int = 0
    key: str = ""

    @property
    def given(self) -> bool:
        return bool(self.pcpu or self.vcpu)

    @property
    def mixed(self) -> bool:
        return bool(self.pcpu and self.vcpu)


def _policy(specs: Texts, props: Texts, counts: _Counts) -> Policy:
    flavor_policy = read.choice(specs, _POLICY, _POLICIES)
    image_policy = read.choice(props, "hw_cpu_policy", _POLICIES)
    policy = _MATRIX.get((image_policy, flavor_policy))
    if policy is None:
        allowed = [p for p in _POLICIES if (p, flavor_policy) in _MATRIX]
        raise InvalidRequest(
            "hw_cpu_policy",
            image_policy,
            f"no policy or one of {', '.join(allowed)} with {_POLICY}={flavor_policy}",
        )
    if policy == "undefined":
        return _BY_RESOURCES[bool(counts.pcpu), bool(counts.vcpu)]
    if counts.given:
        source = _POLICY if flavor_policy else "hw_cpu_policy"
        raise InvalidRequest(counts.key, specs[counts.key], f"no such key together with {source}")
    return policy


_RESOURCES = re.compile(r"resources(?:[a-zA-Z0-9_-]{1,64})?:(PCPU|VCPU)")


def _resource_counts(specs: Texts) -> _Counts:
    """Granular groups (``resources1:PCPU``) are summed (R3)."""
    totals = {"PCPU": 0, "VCPU": 0}
    first = ""
    for key in sorted(specs):
        match = _RESOURCES.fullmatch(key)
        if match:
            count = read.integer(specs, key, minimum=0)
            totals[match[1]] += count
            first = first or (key if count else "")
    return _Counts(totals["PCPU"], totals["VCPU"], first)


def _check_counts(vcpus: int, counts: _Counts, isolate: bool) -> None:
    """R3: the counts are the flavor's vCPUs, and one PCPU more for an isolated emulator."""
    if not counts.given:
        return
    extra = " and 1 PCPU for the emulator threads" if isolate else ""
    if counts.pcpu + counts.vcpu != vcpus + isolate:
        kinds = [kind for kind in ("PCPU", "VCPU") if getattr(counts, kind.lower())]
        raise InvalidRequest(
            "+".join(f"resources:{kind}" for kind in kinds),
            counts.pcpu + counts.vcpu,
            f"{vcpus + isolate} in all: {vcpus} vCPUs of the flavor{extra}",
        )
    if counts.vcpu and counts.pcpu == isolate == 1:
        raise InvalidRequest(
            "resources:PCPU",
            counts.pcpu,
            f"at least 2: one dedicated vCPU{extra}; or no {_EMULATOR}=isolate",
        )


# ---- threads and emulator (R9, R10, R13) ----

_THREADS = "hw:cpu_thread_policy"
_THREAD_POLICIES = ("prefer", "isolate", "require")
_HYPERTHREADING: Mapping[str, ThreadPolicy] = {"required": "require", "forbidden": "isolate"}
_TRAIT = re.compile(r"trait(?:[a-zA-Z0-9_-]{1,64})?:HW_CPU_HYPERTHREADING")


def _thread_policy(specs: Texts, props: Texts) -> ThreadPolicy | None:
    flavor_policy = read.choice(specs, _THREADS, _THREAD_POLICIES)
    image_policy = read.choice(props, "hw_cpu_thread_policy", _THREAD_POLICIES)
    if flavor_policy in ("isolate", "require") and image_policy not in (None, flavor_policy):
        raise InvalidRequest(
            "hw_cpu_thread_policy", image_policy, f"{flavor_policy}, as {_THREADS} says, or none"
        )
    policy: ThreadPolicy | None = flavor_policy or image_policy
    for source in (specs, props):
        for key in sorted(filter(_TRAIT.fullmatch, source)):
            by_trait = _HYPERTHREADING[read.choice(source, key, tuple(_HYPERTHREADING))]
            if policy not in (None, by_trait) or flavor_policy or image_policy:
                expected = f"no such trait with the thread policy {policy}"
                raise InvalidRequest(key, source[key], expected)
            policy = by_trait
    return policy


def _check_needs_no_dedicated(specs: Texts, props: Texts) -> None:
    """A thread policy, and an isolated emulator thread, are for guests with dedicated CPUs."""
    for source in (specs, props):
        for key, value in sorted(source.items()):
            threads = key in (_THREADS, "hw_cpu_thread_policy") or _TRAIT.fullmatch(key)
            if threads or (key, value) == (_EMULATOR, "isolate"):
                raise InvalidRequest(key, value, "dedicated CPUs with it, but the policy is shared")


# ---- which vCPUs are dedicated, and which are realtime (R4-R6) ----

_MASK = "hw:cpu_dedicated_mask"
_REALTIME = "hw:cpu_realtime"
_REALTIME_MASK = "hw:cpu_realtime_mask"


def _realtime(specs: Texts, props: Texts, vcpus: int) -> CpuSet:
    """The realtime vCPUs; a mask without ``hw:cpu_realtime`` says nothing, as in Nova."""
    everything = CpuSet.first(vcpus)
    if not read.truth(specs, _REALTIME):
        return EMPTY
    key, source = _realtime_key(specs, props)
    return everything if key == _REALTIME else read.cpus(source, key, everything)


def _realtime_key(specs: Texts, props: Texts) -> tuple[str, Texts]:
    """The key that says which vCPUs are realtime, and where it stands; the image's mask wins."""
    if "hw_cpu_realtime_mask" in props:
        return "hw_cpu_realtime_mask", props
    return (_REALTIME_MASK if _REALTIME_MASK in specs else _REALTIME), specs


def _mixed(specs: Texts, props: Texts, realtime: CpuSet, vcpus: int) -> CpuSet:
    """R5: exactly one of the two masks says which vCPUs are dedicated; one at least is shared."""
    if (_MASK in specs) == bool(realtime):
        expected = f"either this mask or {_REALTIME}=yes with a mask, for the policy mixed"
        raise InvalidRequest(_MASK, specs.get(_MASK), expected)
    everything = CpuSet.first(vcpus)
    dedicated = realtime or read.cpus(specs, _MASK, everything)
    if dedicated == everything:
        key, source = _realtime_key(specs, props) if realtime else (_MASK, specs)
        raise InvalidRequest(key, source[key], f"some vCPU of {everything} left out, as shared")
    return dedicated


_DEDICATED: Mapping[Policy, Callable[[Texts, Texts, CpuSet, int], CpuSet]] = {
    "dedicated": lambda _specs, _props, _realtime, vcpus: CpuSet.first(vcpus),
    "shared": lambda _specs, _props, _realtime, _vcpus: EMPTY,
    "mixed": _mixed,
}


def _check_mask_belongs(specs: Texts, policy: Policy, counts: _Counts) -> None:
    if _MASK in specs and (policy != "mixed" or counts.given):
        what = f"{counts.key}={specs[counts.key]}" if counts.given else f"the policy {policy}"
        raise InvalidRequest(_MASK, specs[_MASK], f"{_POLICY}=mixed with it, not {what}")


def _check_realtime(
    specs: Texts, props: Texts, realtime: CpuSet, dedicated: CpuSet, vcpus: int
) -> None:
    """R6: realtime vCPUs are dedicated, and something is left for the emulator threads."""
    key, source = _realtime_key(specs, props)
    if not realtime <= dedicated:
        expected = f"dedicated vCPUs only, but {realtime - dedicated} are shared"
        raise InvalidRequest(key, source[key], expected)
    if realtime == CpuSet.first(vcpus) and _EMULATOR not in specs:
        expected = f"a vCPU left out, by {_REALTIME_MASK}, or {_EMULATOR} set"
        raise InvalidRequest(key, source[key], expected)


# ---- memory pages (R9) ----

_PAGES = "hw:mem_page_size"
_IMAGE_PAGES = "hw_mem_page_size"
_KINDS = ("small", "large", "any")
_SIZE = re.compile(r"([0-9]{1,12})(?:([KMGT])i?B)?")
_UNIT_KB = {None: 1, "K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}


def names_page_size(flavor: Flavor, image: Image) -> bool:
    """Whether the guest asks for any page size; also where its request would be wrong by now."""
    return _PAGES in flavor.extra_specs or _IMAGE_PAGES in image.properties


def _page_size(specs: Texts, props: Texts) -> PageSize | None:
    """The image may choose only where the flavor leaves room: ``any`` or ``large`` (as Nova)."""
    wanted = _one_page_size(specs, _PAGES)
    if _IMAGE_PAGES not in props:
        return wanted
    if wanted not in ("any", "large"):
        expected = f"nothing, unless the flavor has {_PAGES}=any or large"
        raise InvalidRequest(_IMAGE_PAGES, props[_IMAGE_PAGES], expected)
    return _one_page_size(props, _IMAGE_PAGES)


def _one_page_size(source: Texts, key: str) -> PageSize | None:
    value = source.get(key)
    if value is None or value in _KINDS:
        return cast(PageSize | None, value)
    match = _SIZE.fullmatch(value)
    size_kb = int(match[1]) * _UNIT_KB[match[2]] if match else 0
    if not size_kb:
        raise InvalidRequest(key, value, "small, large, any or a size: 2048 (KiB), 2MB, 1GB")
    return size_kb
