"""Texts of /proc as guests have them, and ones made to size."""

from __future__ import annotations

X86 = """\
           CPU0       CPU1       CPU3
  0:         43          0          0   IO-APIC   2-edge      timer
  8:          0          1          0   IO-APIC   8-edge      rtc0
 24:          0          0          0   PCI-MSIX-0000:00:03.0   0-edge      virtio1-config
 25:     100200        300          7   PCI-MSIX-0000:00:03.0   1-edge      virtio1-input.0
 26:          5          0          0   PCI-MSI 65537-edge      i915, snd_hda_intel:card0
 27:          0          2          0   IO-APIC   2-edge
NMI:          0          0          0   Non-maskable interrupts
LOC:    1889569    2061850       1200   Local timer interrupts
RES:     642694     533857          3   Rescheduling interrupts
CAL:    1118158    1017937          9   Function call interrupts
TLB:      29605      29280          0   TLB shootdowns
HYP:         34         82          1   Hypervisor callback interrupts
ERR:          0
MIS:          0
PIN:          0          0          0   Posted-interrupt notification event
"""
"""Four CPUs, of which CPU 2 is offline and has no column."""

ARM = """\
           CPU0       CPU1
 10:     104233      99871     GICv3  27 Level     arch_timer
 12:        412          0     GICv3  33 Level     uart-pl011
 48:       3303          0  ITS-PCI-MSIX-0000:00:01.0   1 Edge      virtio0-input.0
IPI0:     12345      23456       Rescheduling interrupts
IPI1:       345        456       Function call interrupts
IPI2:         0          0       CPU stop interrupts
Err:          0
"""

ONE_CPU = """\
           CPU0
  4:        412   IO-APIC   4-edge      ttyS0
LOC:       9000   Local timer interrupts
ERR:          0
MIS:          0
"""

SOFTIRQS = """\
                    CPU0       CPU1       CPU2       CPU3
          HI:          0          0          0          0
       TIMER:     295028     377645          0         12
     HRTIMER:         15         22          0          0
         RCU:     880529    1021857          0          3
"""
"""Offline CPUs have a column here."""

STAT = """\
cpu  1170842 1 99752 1004693 7948 0 3667 17829 0 0
cpu0 542633 1 45499 552008 2100 11 1148 8883 0 0
cpu1 628209 0 54252 452685 5848 12 2519 8945 0 0
cpu3 5 0 6 100000 0 1 2 3 0 0
intr 8816414 0 0 1 13
ctxt 31253701
btime 1795257533
softirq 5519 0 672 3458 2984 1404 0 205 686 37 1902
"""

SCHEDSTAT = """\
version 15
timestamp 4295018443
cpu0 0 0 0 0 0 0 6443275226 1128826271 16217
domain0 00000003 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
cpu1 0 0 0 0 0 0 6071422417 1233441310 15870
"""


def of_size(count: int, timer: int = 7) -> str:
    """/proc/interrupts of a guest with so many CPUs; CPU n was reached by n rescheduling ones."""
    cpus = range(count)
    header = "".join(f"CPU{cpu}".rjust(10) + " " for cpu in cpus)
    return (
        f"{'':11}{header}\n"
        + f"LOC:{''.join(f'{timer:>11}' for _ in cpus)}   Local timer interrupts\n"
        + f"RES:{''.join(f'{cpu:>11}' for cpu in cpus)}   Rescheduling interrupts\n"
        + "ERR:          0\n"
    )
