"""A TuneD profile for this guest's CPUs: one of TuneD's, less what a partition replaces."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import BadInput
from mdguest.procfs import mask
from mdguest.render.cmdline import overlong
from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
PATH = "/etc/tuned/profiles/mdguest/tuned.conf"

NOTES = """
TuneD before 2.23 reads /etc/tuned/mdguest/tuned.conf instead. The profile cpu-partitioning is in
the package tuned-profiles-cpu-partitioning, or in tuned itself.
The base adds nohz_full and rcu_nocbs to the kernel's arguments: leave out `mdguest render cmdline`.
"""

PARTITIONING, REALTIME = "cpu-partitioning", "realtime-virtual-guest"
"""The profiles to build on: the second one where the host gives CPUs a realtime priority."""

REALTIME_NOTES = """
The profile builds on {base} (`--base` names another), which is in the package
tuned-profiles-realtime or tuned-profiles-nfv-guest, or in tuned itself. Its isolcpus= would keep
the scheduler off for good, and Linux 6.12 refuses a partition then: the profile says isolcpus=
for managed interrupts alone.
"""

ONLINE_ONLY = """
Left out, as TuneD refuses a profile with CPUs that are offline: CPU {offline}. Render it again once
they are online.
"""

_BESIDE = """
nohz=on intel_pstate=disable nosoftlockup skew_tick=1 tsc=reliable
rcupdate.rcu_normal_after_boot=1 rcutree.nohz_full_patience_delay=1000
"""
"""What the bases add to the command line, whatever the CPUs are."""

BOOTLOADER = """
[bootloader]
# As in the base, but without the domain flag.
cmdline_realtime=+isolcpus=managed_irq,{isolated} nosoftlockup tsc=reliable
"""

PROFILE = """\
[main]
summary={base} for the dedicated CPUs of this guest
include={base}

[variables]
isolated_cores={isolated}
# Empty, or TuneD adds isolcpus=, which cannot be undone and which Linux 6.12 takes for a conflict
# with the cpuset partition.
no_balance_cores=

[systemd]
# The partition keeps services away. CPUAffinity= in system.conf would be inherited by those in
# dedicated.slice too, and with no CPU in common they would not start.
enabled=false

[scheduler]
# What runs in the slice was put there: leave its affinity alone.
cgroup_ps_blacklist=/dedicated\\.slice\\b
"""


def base(cpus: Split) -> str:
    """The profile that was asked for, or that suits this guest.

    Raises BadInput for what is no name of a profile.
    """
    if cpus.base is None:
        return REALTIME if cpus.realtime & cpus.usable else PARTITIONING
    if not _NAME.fullmatch(cpus.base):
        raise BadInput(f"--base {cpus.base!r}: expected a TuneD profile, like {REALTIME}")
    return cpus.base


def _isolated(cpus: Split) -> CpuSet:
    """With a base for realtime, the CPUs that the host gives a realtime priority."""
    realtime = EMPTY if base(cpus).startswith(PARTITIONING) else cpus.realtime & cpus.usable
    return realtime or cpus.usable


def warnings(cpus: Split) -> list[str]:
    """Where TuneD, which writes CPU lists out, would make the kernel's command line too long."""
    isolated = _isolated(cpus)
    lists = [f"{name}={isolated}" for name in ("nohz_full", "rcu_nocbs")]
    if base(cpus).startswith(PARTITIONING):
        lists += [f"tuned.non_isolcpus={mask(cpus.housekeeping)}"]
    else:
        lists += [f"isolcpus=managed_irq,{isolated}", f"irqaffinity={cpus.housekeeping}"]
    return overlong(cpus.cmdline, [*lists, *_BESIDE.split()])


def render(cpus: Split) -> str:
    """The profile's tuned.conf."""
    chosen, isolated = base(cpus), _isolated(cpus)
    is_plain = chosen.startswith(PARTITIONING)
    notes = NOTES if is_plain else NOTES + REALTIME_NOTES.format(base=chosen)
    guide = Guide(
        put=PATH,
        activate="tuned-adm profile mdguest, then reboot for the kernel's arguments",
        undo="tuned-adm profile OTHER (or tuned-adm off), remove the directory, reboot",
        notes=notes + (ONLINE_ONLY.format(offline=cpus.offline) if cpus.offline else ""),
    )
    top = heading("tuned", cpus, guide)
    bootloader = "" if is_plain else BOOTLOADER.format(isolated=isolated)
    return top + PROFILE.format(base=chosen, isolated=isolated) + bootloader
