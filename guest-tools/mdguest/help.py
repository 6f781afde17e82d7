"""What each command says of itself: a table from which the parser and the man page are made."""

from __future__ import annotations

from typing import Any, NamedTuple

from mdguest.settings import MODES, PARTITIONS

DESCRIPTION = (
    "Isolate the CPUs that this guest's metadata calls dedicated, for those who need them."
)
EPILOG = """\
examples:
  mdguest                                       what would be done, and why
  mdguest apply                                 do it
  mdguest verify                                check that it holds
  mdguest run --cpus 2 -- dpdk-testpmd -l {lcores} ...
  mdguest undo                                  put everything back

Settings: /etc/default/mdguest, then MDGUEST_SOURCE, MDGUEST_MODE, MDGUEST_PARTITION,
MDGUEST_HOUSEKEEPING, MDGUEST_EXEMPT, MDGUEST_INTERVAL, MDGUEST_IGNORE, then flags.
Exit status: 0 done, 1 failed, 2 bad usage or input, 3 refused or not as it should be,
4 not found."""

Option = tuple[tuple[str, ...], dict[str, Any]]
"""The arguments of add_argument."""


class Command(NamedTuple):
    """One command's help."""

    summary: str
    about: str
    options: tuple[Option, ...]
    examples: tuple[str, ...]


def _flag(*names: str, **options: Any) -> Option:
    return names, options


JSON = _flag("--json", action="store_true", help="print JSON")
VERBOSE = _flag("--verbose", "-v", action="store_true", help="name each change on stderr")
SOURCE = _flag(
    "--source",
    metavar="SOURCE",
    help="metadata[:URL], config-drive[:DEVICE], vendordata[:URL], cloud-init or file:PATH "
    "(default: each in turn)",
)
MODE = _flag(
    "--mode",
    metavar="MODE",
    help=f"{', '.join(MODES)} (default: what suits this guest)",
)
PARTITION = _flag(
    "--partition",
    metavar="TYPE",
    help=f"{' or '.join(PARTITIONS)}: without (default) or with load balancing in the pool",
)
HOUSEKEEPING = _flag(
    "--housekeeping",
    metavar="WHICH",
    help="first (default) or last: the CPU that stays where all are dedicated; or CPUs that stay",
)
INTERVAL = _flag(
    "--interval",
    metavar="SECONDS",
    help="between two looks at a source that cannot be waited on, at least 15 (default: 60)",
)
IGNORE = _flag(
    "--ignore",
    metavar="PATTERNS",
    help="units, cgroups, programs, or slices with all that is in them, that may ask for dedicated "
    "CPUs in vain: docker-*.scope,qemu*",
)
EXEMPT = _flag(
    "--exempt",
    metavar="SLICES",
    help="slices with dedicated CPUs of their own, which neither the pool nor pods get: "
    "'ovs.slice=2-3 fast.slice=5'",
)
LAYOUT = (SOURCE, MODE, PARTITION, HOUSEKEEPING, EXEMPT, IGNORE)

COMMANDS = {
    "plan": Command(
        "show what apply would change, and why (the default)",
        "Show what apply would change, why, and what only a reboot would add. Changes nothing.",
        (*LAYOUT, JSON),
        ("mdguest plan", "mdguest plan --source file:layout.json --mode fence --json"),
    ),
    "apply": Command(
        "isolate the dedicated CPUs",
        "Isolate the dedicated CPUs. Each old value is kept for undo, each new one read back.\n"
        "Where no source can be reached, the last good layout stays in force.",
        (
            *LAYOUT,
            _flag(
                "--last-good",
                action="store_true",
                help="the layout that was applied last, or else a config drive's: for early boot",
            ),
            _flag(
                "--careful",
                action="store_true",
                help="change nothing where a program that runs would lose CPUs that it asked for",
            ),
            VERBOSE,
            JSON,
        ),
        ("mdguest apply", "mdguest apply --source metadata:http://169.254.169.254 --verbose"),
    ),
    "verify": Command(
        "check that they are isolated: exit 0, or 3 with the reasons",
        "Read every setting back, and look for tasks that could run on the dedicated CPUs.\n"
        "Exit status 0, or 3 with one line for each thing that is not as it should be.",
        (*LAYOUT, JSON),
        ("mdguest verify", "mdguest verify --json"),
    ),
    "undo": Command(
        "put back everything that apply changed",
        "Put back every value that apply found, last change first, task affinities included.\n"
        "Programs in the pool go on; what holds the pool is removed once they have ended.",
        (VERBOSE, JSON),
        ("mdguest undo --verbose",),
    ),
    "status": Command(
        "show the layout, the isolation and who holds which CPUs",
        "Show the layout, the isolation, who holds which CPUs, and what is wrong.",
        (
            *LAYOUT,
            JSON,
            _flag(
                "--prometheus",
                metavar="FILE",
                nargs="?",
                const="-",
                help="metrics for the textfile collector, to stdout or into FILE",
            ),
        ),
        (
            "mdguest status",
            "mdguest status --prometheus /var/lib/prometheus/node-exporter/mdguest.prom",
        ),
    ),
    "watch": Command(
        "follow layout and drift, as a service",
        "Apply each new layout, and heal what others change. Ends at SIGTERM; what is isolated\n"
        "then stays so.",
        (*LAYOUT, INTERVAL, JSON),
        ("mdguest watch", "systemctl enable --now mdguest-watch.service"),
    ),
    "run": Command(
        "run a program on dedicated CPUs that nobody else has",
        "Become CMD on a subset of the dedicated CPUs that no other run has. {cpus} in its\n"
        "arguments becomes the CPU list (2-3), {lcores} what DPDK's -l takes (2,3), or from CPU\n"
        "128 on its --lcores (0@126,1@128); DPDK 25.11 and later take -R -l {cpus} as well.\n"
        "The subset comes back when the last process of CMD ends.",
        (
            _flag(
                "--cpus",
                metavar="N|SET",
                help="how many, or a list or range of which (default: all that are free)",
            ),
            _flag("--on", "--cpu", metavar="SET", help="which, be it a single one: --on 3"),
            _flag("--name", metavar="NAME", help="what status calls it (default: CMD-PID)"),
            _flag(
                "--pin",
                dest="balance",
                action="store_false",
                default=False,
                help="a CPU for each busy thread that chooses none itself (the default)",
            ),
            _flag(
                "--balance",
                dest="balance",
                action="store_true",
                help="the kernel balances the threads among the subset's CPUs",
            ),
            JSON,
            _flag(
                "command_line", metavar="-- CMD", nargs="...", help="the program and its arguments"
            ),
        ),
        (
            "mdguest run --cpus 2 --name fw -- dpdk-testpmd -l {lcores} --no-pci",
            "mdguest run --cpus 4-7 --balance -- ./transcoder --threads 4",
            "mdguest run --on 3 -- ./sampler",
        ),
    ),
    "render": Command(
        "print configuration for other programs",
        "Print a ready file or string for this guest.",
        (
            _flag(
                "what",
                metavar="WHAT",
                help="kubelet, crio, nfd, dra-driver-cpu, dpdk, ovs, vpp, systemd, docker, podman, "
                "compose, cmdline, tuned or irqbalance",
            ),
            _flag(
                "--base",
                metavar="PROFILE",
                help="the TuneD profile to build on (default: cpu-partitioning, or "
                "realtime-virtual-guest where the layout names realtime CPUs)",
            ),
            *LAYOUT,
            JSON,
        ),
        (
            "mdguest render kubelet > /etc/kubernetes/kubelet.conf.d/50-mdguest.conf",
            "mdguest render tuned --base realtime-virtual-guest",
        ),
    ),
    "measure": Command(
        "measure how quiet each CPU is",
        "Count what interrupts each CPU for some seconds: interrupts by kind, softirqs,\n"
        "involuntary switches and stalls of a probe. Time that the host took (steal) is told\n"
        "apart: only the host can mend it.",
        (
            _flag("--cpus", metavar="SET", help="which CPUs (default: all that are online)"),
            _flag("--seconds", metavar="N", default="5", help="how long (default: 5)"),
            _flag(
                "--probe-busy",
                dest="probing",
                action="store_const",
                const="always",
                default="idle",
                help="probe a dedicated CPU also where a program runs, which that disturbs",
            ),
            _flag(
                "--no-probe",
                dest="probing",
                action="store_const",
                const="never",
                help="only read the kernel's counters",
            ),
            _flag(
                "--no-tools",
                action="store_true",
                help="leave out rtla, oslat and cyclictest, where they are there",
            ),
            _flag("--save", metavar="FILE", help="keep the figures, to compare with later"),
            _flag("--compare", metavar="FILE", help="show them beside those that were kept"),
            JSON,
        ),
        ("mdguest measure --save before.json", "mdguest measure --compare before.json"),
    ),
    "doctor": Command(
        "show what this guest can do, and what a reboot would add",
        "Show the abilities of this guest's kernel and systemd, and which kernel command line\n"
        "would add what cannot be had while it runs.",
        (*LAYOUT, JSON),
        ("mdguest doctor",),
    ),
}
