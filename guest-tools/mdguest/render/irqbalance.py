"""irqbalance told of the dedicated CPUs: it cannot see a cpuset partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/default/irqbalance"

NOTES = """
On Red Hat's and SUSE's systems the file is /etc/sysconfig/irqbalance.
irqbalance skips by itself only CPUs of isolcpus= and nohz_full=, and this setting replaces that
rule: so those of this boot are in the list, too. Remove the older IRQBALANCE_BANNED_CPUS, a mask,
where it is set; irqbalance before 1.8 knows nothing else, and not this list.
`mdguest apply` bans the CPUs in a running irqbalance; this is for those who do without.
"""


def render(cpus: Split) -> str:
    """Lines to append to irqbalance's environment file."""
    guide = Guide(
        put=f"{PATH} (append: the file has other settings)",
        activate="systemctl restart irqbalance",
        undo="remove these lines; systemctl restart irqbalance",
        notes=NOTES,
    )
    top = heading("irqbalance", cpus, guide)
    return f"{top}IRQBALANCE_BANNED_CPULIST={cpus.dedicated | cpus.boot_banned}\n"
