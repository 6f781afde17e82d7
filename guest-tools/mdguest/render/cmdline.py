"""Kernel arguments for what only a boot can change: the tick, RCU callbacks, managed interrupts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY
from mdguest.facts.boot import BOOT_CPU
from mdguest.render.heading import Guide, heading
from mdguest.render.stride import short

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/default/grub.d/50-mdguest.cfg"

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

TICKING_NOTE = """
nohz_full= is left out: this kernel is built without NO_HZ_FULL, and would ignore it.
"""

LONGEST = 2047
"""Bytes of a command line on x86 and arm64 (COMMAND_LINE_SIZE, with its last zero)."""

BOOT_NOTE = """
CPU 0 is dedicated but keeps its tick: Linux keeps the time on the CPU that it boots on, leaves it
out of nohz_full by itself, and has panicked over it in some versions. Interrupts may stay there
too.
"""


def arguments(cpus: Split) -> str:
    """The arguments alone. Never such that no CPU is left to keep house."""
    tickless = EMPTY if cpus.tickless is False else cpus.dedicated - BOOT_CPU
    parts = {
        "nohz_full": short(tickless),
        "rcu_nocbs": short(cpus.dedicated),
        "irqaffinity": short(cpus.housekeeping),
        # Before 5.18 Linux ignores one of isolcpus and nohz_full where their CPUs differ.
        "isolcpus": f"managed_irq,{short(tickless or cpus.dedicated)}",
    }
    return " ".join(f"{name}={value}" for name, value in parts.items() if value)


def warnings(cpus: Split) -> list[str]:
    """Where the kernel's whole command line would be longer than it keeps."""
    return overlong(cpus.cmdline, arguments(cpus).split())


def overlong(there: str, ours: list[str]) -> list[str]:
    """A warning where these arguments, beside those that are there, would be cut off."""
    names = {word.partition("=")[0] for word in ours}
    others = [word for word in there.split() if word.partition("=")[0] not in names]
    length = len(" ".join([*others, *ours]))
    if length <= LONGEST:
        return []
    return [
        f"the kernel's command line would have {length} bytes with what is there now; x86 and "
        f"arm64 keep {LONGEST} and drop the rest in silence: shorten it"
    ]


def _notes(cpus: Split, chosen: str) -> str:
    notes = NOTES.format(arguments=chosen)
    notes += BOOT_NOTE if 0 in cpus.dedicated else ""
    notes += TICKING_NOTE if cpus.tickless is False else ""
    return notes + "".join(f"\nWARNING: {warning}.\n" for warning in warnings(cpus))


def render(cpus: Split) -> str:
    """A file that GRUB's configuration is made from."""
    chosen = arguments(cpus)
    guide = Guide(
        put=PATH,
        activate="update-grub, then reboot; `mdguest doctor` shows what came of it",
        undo="remove this file; update-grub; reboot",
        notes=_notes(cpus, chosen),
    )
    top = heading("cmdline", cpus, guide)
    return f'{top}GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {chosen}"\n'
