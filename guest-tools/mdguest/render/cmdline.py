"""Kernel arguments for what only a boot can change: the tick, RCU callbacks, managed interrupts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/default/grub.d/50-mdguest.cfg"

BOOT_CPU = CpuSet.of([0])
"""The kernel boots on CPU 0, keeps the time there, and some versions panic where it is to be
nohz_full all the same."""

NOTES = """
With Debian's or Ubuntu's GRUB that is all. Elsewhere:
  grubby --update-kernel=ALL --args="{arguments}"
  or append them to /etc/kernel/cmdline and run `kernel-install add-all`

These complement the cpuset partition, which does the rest and needs no reboot:
- nohz_full stops the tick on a CPU that runs a single task; the price is a slower way in and out of
  the kernel, so it is for programs that stay in user space.
- rcu_nocbs moves RCU callbacks to other CPUs (nohz_full implies it where the kernel has both).
- irqaffinity is where interrupts go that nobody has placed.
- isolcpus=managed_irq keeps a device's managed interrupts away, as far as its queues allow. The
  flag is essential: isolcpus= without one means "domain", which cannot be undone at run time and
  in conflict with which Linux 6.12 refuses the partition.
"""

BOOT_NOTE = """
CPU 0 is dedicated but keeps its tick: Linux keeps the time on the CPU that it boots on, leaves it
out of nohz_full by itself, and has panicked over it in some versions. Interrupts may stay there
too.
"""


def arguments(cpus: Split) -> str:
    """The arguments alone. Never such that no CPU is left to keep house."""
    tickless = cpus.dedicated - BOOT_CPU
    parts = {
        "nohz_full": str(tickless),
        "rcu_nocbs": str(cpus.dedicated),
        "irqaffinity": str(cpus.housekeeping),
        # Before 5.18 Linux ignores one of isolcpus and nohz_full where their CPUs differ.
        "isolcpus": f"managed_irq,{tickless or cpus.dedicated}",
    }
    return " ".join(f"{name}={value}" for name, value in parts.items() if value)


def render(cpus: Split) -> str:
    """A file that GRUB's configuration is made from."""
    chosen = arguments(cpus)
    guide = Guide(
        put=PATH,
        activate="update-grub, then reboot; `mdguest doctor` shows what came of it",
        undo="remove this file; update-grub; reboot",
        notes=NOTES.format(arguments=chosen) + (BOOT_NOTE if 0 in cpus.dedicated else ""),
    )
    top = heading("cmdline", cpus, guide)
    return f'{top}GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {chosen}"\n'
