"""What every renderer starts from: which CPUs are isolated, and which keep house."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import Refused

if TYPE_CHECKING:
    from mdguest.facts.kubernetes import Kubelet


@dataclass(frozen=True)
class Split:
    """This guest's CPUs in two parts, and its NUMA nodes.

    ``dedicated`` is what mdguest isolates and ``housekeeping`` is everything else that is online;
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

    @property
    def usable(self) -> CpuSet:
        """What programs can run on now: for files that do not wait for a reboot."""
        return self.dedicated - self.offline


def check(cpus: Split) -> None:
    """Raise Refused where no configuration can be right for this split."""
    if not cpus.dedicated:
        raise Refused("no CPU is dedicated in this guest: there is nothing to configure")
    if not cpus.usable:
        raise Refused(f"CPU {cpus.dedicated} is dedicated, but offline: bring it online first")
    if not cpus.housekeeping:
        raise Refused("every online CPU would be isolated: at least one must be left for the rest")
    if cpus.dedicated & cpus.housekeeping:
        both = cpus.dedicated & cpus.housekeeping
        raise Refused(f"CPUs {both} cannot be both dedicated and left for the rest")
