"""The sockets, cores and threads that flavor and image want a guest to see (R28).

``hw:cpu_sockets``, ``hw:cpu_cores``, ``hw:cpu_threads`` prefer, ``hw:cpu_max_*`` limit; the image
has both too. The rules are Nova's (``nova.virt.hardware``, from ``get_cpu_topology_constraints``
on): an image's limit is no higher than the flavor's, what an image prefers replaces all that the
flavor prefers, and what a flavor prefers is dropped where an image's limit is lower. But numbers
that no topology of the guest's vCPUs can have are an error here; Nova drops them silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from mdsvc.errors import InvalidRequest
from mdsvc.policy import extra_specs as read
from mdsvc.policy.extra_specs import Texts

Sizes = Mapping[str, int]
"""Numbers by the names of KINDS; what is not there is free."""

KINDS = ("sockets", "cores", "threads")


class CpuTopology(msgspec.Struct, frozen=True):
    """Sockets, cores in each and threads in each of these."""

    sockets: int
    cores: int
    threads: int

    def matches(self, sizes: Sizes) -> int:
        """How many of the sizes it has."""
        return sum(getattr(self, kind) == size for kind, size in sizes.items())

    def is_within(self, limits: Sizes) -> bool:
        return all(getattr(self, kind) <= limit for kind, limit in limits.items())


class Wishes(msgspec.Struct, frozen=True):
    """What is preferred, and the limits."""

    preferred: Sizes = {}
    limits: Sizes = {}

    @property
    def given(self) -> bool:
        return bool(self.preferred or self.limits)

    def best(
        self, vcpus: int, may_have: Callable[[int], bool], default: CpuTopology | None
    ) -> CpuTopology:
        """The topology nearest to the wishes, among those whose threads are true.

        ``may_have`` tells whether a core may have so many threads; one it always may. Where no true
        one is within all limits, that on sockets is kept before the others: licences count them.
        Of equal ones ``default``, one of as many threads, then as in Nova: few threads, then many
        sockets.
        """
        true = [each for each in topologies(vcpus) if each.threads == 1 or may_have(each.threads)]
        within = [each for each in true if each.is_within(self.limits)]
        sockets = {kind: most for kind, most in self.limits.items() if kind == "sockets"}
        within = within or [each for each in true if each.is_within(sockets)]
        return max(within, key=lambda each: self._rank(each, default))

    def _rank(self, topology: CpuTopology, default: CpuTopology | None) -> tuple[int, ...]:
        return (
            topology.matches(self.preferred),
            topology.sockets == self.preferred.get("sockets"),
            topology == default,
            default is not None and topology.threads == default.threads,
            topology.sockets * topology.cores,
            topology.sockets,
        )


def topologies(vcpus: int) -> list[CpuTopology]:
    """Every topology of so many vCPUs."""
    divisors = [size for size in range(1, vcpus + 1) if vcpus % size == 0]
    return [
        CpuTopology(sockets, vcpus // sockets // threads, threads)
        for sockets in divisors
        for threads in divisors
        if vcpus // sockets % threads == 0
    ]


def wishes(specs: Texts, props: Texts, vcpus: int) -> Wishes:
    """Read and check them. Raises InvalidRequest naming the key."""
    flavor_limits, image_limits = _sizes(specs, "hw:cpu_max_"), _sizes(props, "hw_cpu_max_")
    flavor, image = _sizes(specs, "hw:cpu_"), _sizes(props, "hw_cpu_")
    limits = {**flavor_limits, **image_limits}
    _check_most(image_limits, flavor_limits, "hw_cpu_max_")
    _check_most(flavor, flavor_limits, "hw:cpu_")
    _check_most(image, limits, "hw_cpu_")
    _check_possible(limits, "hw_cpu_max_" if image_limits else "hw:cpu_max_", vcpus)
    if any(size > limits.get(kind, size) for kind, size in flavor.items()):
        flavor = {}
    _check_preferred(image or flavor, limits, "hw_cpu_" if image else "hw:cpu_", vcpus)
    return Wishes(image or flavor, limits)


def _sizes(source: Texts, prefix: str) -> dict[str, int]:
    keys = {kind: prefix + kind for kind in KINDS if prefix + kind in source}
    return {kind: read.integer(source, key, minimum=1) for kind, key in keys.items()}


def _check_most(sizes: Sizes, limits: Sizes, prefix: str) -> None:
    for kind, size in sizes.items():
        if size > limits.get(kind, size):
            expected = f"at most {limits[kind]}, as cpu_max_{kind} says"
            raise InvalidRequest(prefix + kind, str(size), expected)


def _check_possible(limits: Sizes, prefix: str, vcpus: int) -> None:
    if limits and not any(each.is_within(limits) for each in topologies(vcpus)):
        kind = next(iter(limits))
        together = ", ".join(f"{limit} {kind}" for kind, limit in limits.items())
        expected = f"limits that {vcpus} vCPUs can keep, not {together}"
        raise InvalidRequest(prefix + kind, str(limits[kind]), expected)


def _check_preferred(sizes: Sizes, limits: Sizes, prefix: str, vcpus: int) -> None:
    """The first that makes it impossible is named."""
    possible = [each for each in topologies(vcpus) if each.is_within(limits)] if sizes else []
    for kind, size in sizes.items():
        possible = [each for each in possible if getattr(each, kind) == size]
        if not possible:
            expected = f"sockets × cores × threads to be the flavor's {vcpus} vCPUs"
            within = " within the limits" if limits else ""
            raise InvalidRequest(prefix + kind, str(size), expected + within)
