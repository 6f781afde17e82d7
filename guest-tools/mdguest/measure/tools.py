"""Programs that measure better than we can, used where they are there. Short runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, NamedTuple

from mdguest.measure.report import Section

if TYPE_CHECKING:
    from mdguest.cpuset import CpuSet
    from mdguest.measure.waiting import Waiting
    from mdguest.system import System

SECONDS = 2
PATIENCE_SECONDS = 15


class Tool(NamedTuple):
    """A program, its arguments for these CPUs, and whether this kernel supports it."""

    program: str
    arguments: Callable[[CpuSet], list[str]]
    supported: Callable[[System], bool]


def _has_osnoise(system: System) -> bool:
    """Whether the kernel was built with the osnoise tracer. Debian's are not."""
    try:
        return "osnoise" in system.read("/sys/kernel/tracing/available_tracers").split()
    except OSError:
        return False


def _oslat(cpus: CpuSet) -> list[str]:
    """Its main thread needs a CPU of the slice too: the first, which it then does not measure."""
    first, *others = cpus
    measured = ",".join(map(str, others or [first]))
    return ["-q", "-z", "-D", str(SECONDS), "-C", str(first), "-c", measured]


TOOLS = (
    Tool(
        "rtla",
        lambda cpus: ["osnoise", "top", "-q", "-d", f"{SECONDS}s", "-c", str(cpus)],
        _has_osnoise,
    ),
    Tool("oslat", _oslat, lambda system: True),
    Tool(
        "cyclictest",
        lambda cpus: ["-q", "-D", str(SECONDS), "-t", str(len(cpus)), "-a", str(cpus)],
        lambda system: True,
    ),
)


def commands(system: System, cpus: CpuSet) -> list[list[str]]:
    """The command lines of those that are there and supported."""
    if not cpus:
        return []
    return [
        [path, *tool.arguments(cpus)]
        for tool in TOOLS
        for path in [system.which(tool.program)]
        if path and tool.supported(system)
    ]


def run(command: list[str], process: Waiting) -> Section:
    """Let a waiting program go, and keep what it says; its failure is a result like another."""
    process.go()
    status, out = process.answer(PATIENCE_SECONDS)
    failed = f"ended with status {status}\n" if status else ""
    return Section(" ".join(command), failed + out.rstrip())
