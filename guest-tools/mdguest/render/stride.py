"""CPU lists as short as the kernel's command line lets them be: ``1-511:1/2`` for every other CPU.

Linux, lib/bitmap-str.c, bitmap_parselist(): ``range:used/group``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdguest.cpuset import CpuSet

Run = tuple[int, int]


def short(cpus: CpuSet) -> str:
    """The set as a list in which runs of one length and distance are one element, if shorter."""
    return ",".join(_elements(list(cpus.ranges())))


def _elements(runs: list[Run]) -> Iterator[str]:
    while runs:
        count = _alike(runs)
        plain = ",".join(_shown(run) for run in runs[:count])
        stride = _stride(runs[:count])
        if count > 1 and len(stride) < len(plain):
            yield stride
        else:
            count = 1
            yield _shown(runs[0])
        runs = runs[count:]


def _alike(runs: list[Run]) -> int:
    """How many of the first runs have one length, and one distance from each to the next."""
    count = 1
    while count < len(runs) and (
        _length(runs[count]) == _length(runs[0])
        and runs[count][0] - runs[count - 1][0] == runs[min(1, count)][0] - runs[0][0]
    ):
        count += 1
    return count


def _stride(runs: list[Run]) -> str:
    group = runs[min(1, len(runs) - 1)][0] - runs[0][0]
    return f"{runs[0][0]}-{runs[-1][1]}:{_length(runs[0])}/{group}"


def _length(run: Run) -> int:
    return run[1] - run[0] + 1


def _shown(run: Run) -> str:
    return str(run[0]) if run[0] == run[1] else f"{run[0]}-{run[1]}"
