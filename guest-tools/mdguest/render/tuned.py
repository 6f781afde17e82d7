"""A TuneD profile: cpu-partitioning for this guest's CPUs, without what a partition replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/tuned/profiles/mdguest/tuned.conf"

NOTES = """
TuneD before 2.23 reads /etc/tuned/mdguest/tuned.conf instead. The profile cpu-partitioning is in
the package tuned-profiles-cpu-partitioning, or in tuned itself.
It adds nohz_full and rcu_nocbs to the kernel's arguments: then leave out `mdguest render cmdline`.
"""

PROFILE = """\
[main]
summary=cpu-partitioning for the dedicated CPUs of this guest
include=cpu-partitioning

[variables]
isolated_cores={dedicated}
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


def render(cpus: Split) -> str:
    """The profile's tuned.conf."""
    guide = Guide(
        put=PATH,
        activate="tuned-adm profile mdguest, then reboot for the kernel's arguments",
        undo="tuned-adm profile OTHER (or tuned-adm off), remove the directory, reboot",
        notes=NOTES,
    )
    top = heading("tuned", cpus, guide)
    return top + PROFILE.format(dedicated=cpus.dedicated)
