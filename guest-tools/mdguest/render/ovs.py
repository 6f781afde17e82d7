"""Open vSwitch with DPDK: its polling threads on dedicated CPUs, and one for all its others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.facts import POOL
from mdguest.render.dpdk import MAX_LCORE
from mdguest.render.heading import Guide, heading
from mdguest.render.split import check

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/openvswitch/mdguest.sh"

NOTES = """
Threads of Open vSwitch that do not poll (main, handlers, revalidators, DPDK's own) run where its
service may. In an "isolated" partition nobody spreads them, so they would stay on a polling CPU if
they began there. This drop-in puts the service into {slice} and those threads on CPU {control}:

  /etc/systemd/system/ovs-vswitchd.service.d/50-dedicated.conf
    [Unit]
    {needs}=dedicated-cpus.target
    After=dedicated-cpus.target
    [Service]
    Slice={slice}
    CPUAffinity={control}

(The unit is openvswitch-switch.service on older systems.) Outside {slice} the polling
threads would get shared CPUs, and nothing would say so but `mdguest verify`.
"""

ALONE = """
Only one CPU is dedicated: polling and all else share it. A second one would end that.
"""

HIGH = f"""
dpdk-lcore-mask is left out: Open vSwitch before 3.7 hands it to DPDK as it is, which takes no CPU
from {MAX_LCORE} on, and does not start. Without it DPDK's main thread goes by CPUAffinity=.
"""

LCORES = "dpdk-lcore-mask"


def masks(cpus: Split) -> dict[str, str]:
    """The settings in ``other_config``: hexadecimal masks."""
    control, polling = _shares(cpus.of("ovs", "openvswitch")[1])
    found = {"pmd-cpu-mask": f"0x{polling.mask:x}"}
    return found if _is_high(control) else {**found, LCORES: f"0x{control.mask:x}"}


def _is_high(control: CpuSet) -> bool:
    return max(control) >= MAX_LCORE


def _shares(cpus: Split) -> tuple[CpuSet, CpuSet]:
    """The CPU for control, and those that poll."""
    control = CpuSet.of([next(iter(cpus.usable))])
    return control, cpus.usable - control or control


def render(cpus: Split) -> str:
    """A shell script."""
    home, cpus = cpus.of("ovs", "openvswitch")
    check(cpus)
    control, polling = _shares(cpus)
    needs = "Requires" if home == POOL else "Wants"  # the target is refused where there is no pool
    notes = NOTES.format(control=control, slice=home, needs=needs)
    high = HIGH if _is_high(control) else ""
    gone = f"remove Open_vSwitch . other_config {LCORES} -- " if high else ""
    guide = Guide(
        put=f"{PATH}, or pipe it into sh",
        activate=f"sh {PATH}; the polling threads move at once, "
        "DPDK's own when the service is restarted",
        undo="ovs-vsctl remove Open_vSwitch . other_config pmd-cpu-mask "
        f"-- remove Open_vSwitch . other_config {LCORES}",
        notes=notes + (ALONE if control == polling else "") + high,
    )
    top = heading("ovs", cpus, guide)
    settings = " ".join(f"other_config:{name}={mask}" for name, mask in masks(cpus).items())
    return f"{top}ovs-vsctl --no-wait {gone}set Open_vSwitch . {settings}\n"
