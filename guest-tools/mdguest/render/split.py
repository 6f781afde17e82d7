"""What every renderer starts from: which CPUs are isolated, and which keep house."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import Refused
from mdguest.exemption import Exempt, cpus_of
from mdguest.facts import POOL

if TYPE_CHECKING:
    from mdguest.facts.kubernetes import Kubelet


@dataclass(frozen=True)
class Split:
    """This guest's CPUs in two parts, and its NUMA nodes.

    ``dedicated`` is what mdguest isolates, of which ``exempt`` slices have some for themselves, and
    ``housekeeping`` is everything else that is online;
    ``offline`` are those dedicated CPUs that no program can use before they are brought online;
    ``partition`` is the kind of cpuset partition that holds the dedicated CPUs; ``realtime`` are
    those that the host gives a realtime priority. Of this boot are ``cmdline``, ``boot_banned``
    (what irqbalance keeps off by itself) and ``tickless`` (None: nobody knows). ``kubelets`` are
    the ways in which a kubelet is here; ``base`` is the TuneD profile that was asked for.
    """

    dedicated: CpuSet
    housekeeping: CpuSet
    numa: tuple[CpuSet, ...] = ()
    partition: Literal["isolated", "root"] = "isolated"
    offline: CpuSet = EMPTY
    realtime: CpuSet = EMPTY
    cmdline: str = ""
    boot_banned: CpuSet = EMPTY
    tickless: bool | None = None
    kubelets: tuple[Kubelet, ...] = ()
    base: str | None = None
    exempt: Exempt = field(default_factory=dict)

    @property
    def pool(self) -> CpuSet:
        """The dedicated CPUs that no exempt slice has: the pool's, or the pods'."""
        return self.dedicated - cpus_of(self.exempt)

    @property
    def reserved(self) -> CpuSet:
        """What a kubelet must give to no pod."""
        return self.housekeeping | cpus_of(self.exempt)

    @property
    def usable(self) -> CpuSet:
        """What programs can run on now: for files that do not wait for a reboot."""
        return self.pool - self.offline

    def of(self, *names: str) -> tuple[str, Split]:
        """The slice for a program, and the split as that sees it: an exempt one whose name begins
        so, if there is one; else the pool.
        """
        for slice_ in self.exempt:
            if slice_.startswith(names):
                others = {name: own for name, own in self.exempt.items() if name != slice_}
                beside = {"the pool": self.pool} if self.pool else {}
                return slice_, replace(self, exempt={**others, **beside}, partition="root")
        return POOL, self


def check(cpus: Split, of_pool: bool = True) -> None:
    """Raise Refused where no configuration can be right for this split, or for its pool."""
    if not cpus.dedicated:
        raise Refused("no CPU is dedicated in this guest: there is nothing to configure")
    if not cpus.pool:
        raise Refused(
            f"CPU {cpus.dedicated} is all of exempt slices: there is nothing to configure"
        )
    if not cpus.usable:
        raise Refused(f"CPU {cpus.dedicated} is dedicated, but offline: bring it online first")
    if not cpus.housekeeping:
        raise Refused("every online CPU would be isolated: at least one must be left for the rest")
    if cpus.dedicated & cpus.housekeeping:
        both = cpus.dedicated & cpus.housekeeping
        raise Refused(f"CPUs {both} cannot be both dedicated and left for the rest")
