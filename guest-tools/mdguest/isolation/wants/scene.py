"""What a want looks at: how the CPUs are divided, what there is, and what was found before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Callable, NamedTuple

from mdguest.cpuset import CpuSet
from mdguest.facts import POOL, RAW_POOL, Facts, Knob
from mdguest.facts.kubernetes import is_of_pods
from mdguest.isolation.share import Share
from mdguest.isolation.steps import Step
from mdguest.settings import Settings


class Scene(NamedTuple):
    """All that a want may look at."""

    cpus: Share
    facts: Facts
    settings: Settings
    originals: Mapping[Knob, str | None]
    settling: bool
    mode: str
    before: tuple[Share, ...] = ()
    """How the CPUs were divided until now."""
    refused: str = ""
    """Why the kernel would have no partition."""
    wants: tuple[Want, ...] = ()
    """All that this mode wants."""

    def base(self, knob: Knob, now: CpuSet) -> CpuSet:
        """The set that was found before the first change, or is there now."""
        was = self.originals.get(knob)
        return now if was is None else CpuSet.parse(was)


Want = Callable[[Scene], Iterator[Step]]


def own_cpus(scene: Scene, group: str) -> CpuSet | None:
    """The dedicated CPUs for a cgroup's tasks: an exempt slice's or the pool's; None for others."""
    pool = POOL if scene.facts.systemd else RAW_POOL
    name = top_of(group)
    return scene.cpus.pool if name == pool else scene.cpus.exempt.get(name)


def top_of(group: str) -> str:
    """The cgroup below the root that a cgroup is in, or is."""
    return group.strip("/").partition("/")[0]


def is_exempt(scene: Scene, group: str) -> bool:
    """Whether a cgroup may use dedicated CPUs."""
    of_pods = scene.mode == "kubernetes" and is_of_pods(group)
    return of_pods or own_cpus(scene, group) is not None
