"""Talking to a running irqbalance: it sees neither cpuset partitions nor changes of its own file.

The socket's requests are in irqbalance's README: ``setup`` answers with the settings, ``settings
cpus 2-3,5`` bans these CPUs at the next scan, at most ``SLEEP`` seconds later. It takes a list, and
reads no further than the first space. After that scan, irqbalance up to 1.9.2 sleeps for another
``SLEEP`` seconds, and answers nobody meanwhile: it has not gone, and must not be forgotten.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY, CpuSet

if TYPE_CHECKING:
    from mdguest.system import System

SOCKETS = "/run/irqbalance/irqbalance*.sock"
VARIABLE = "IRQBALANCE_BANNED_CPULIST"
SCAN_SECONDS = 15
"""How long a running irqbalance may take to act: its default interval of 10 s, and some."""
SILENT = "no answer yet"
"""What is read of one that listens, and does not answer in time."""


def banned(system: System) -> CpuSet | None:
    """The CPUs that irqbalance puts no interrupt on; None where none answers.

    Raises BlockingIOError where one listens, and does not answer in time.
    """
    silent = None
    for path in system.glob(SOCKETS):
        try:
            answer = system.ask(path, "setup")
        except BlockingIOError as error:
            silent = error
            continue
        except OSError:
            continue  # the socket of one that was killed
        found = re.search(r"BANNED ([0-9a-f,]+)", answer)
        if found:
            return CpuSet(int(found[1].replace(",", ""), 16))
    if silent:
        raise silent
    return None


def banned_at_start(system: System, pid: int) -> CpuSet:
    """What the irqbalance of that process was started to keep off, where its environment says."""
    try:
        variables = system.read(f"/proc/{pid}/environ").split("\0")
    except OSError:
        return EMPTY
    lists = [text.partition("=")[2] for text in variables if text.startswith(f"{VARIABLE}=")]
    try:
        return CpuSet.parse(lists[-1]) if lists else EMPTY
    except ValueError:
        return EMPTY


def ban(system: System, cpus: CpuSet) -> None:
    """Have every running irqbalance keep off these CPUs: one that is silent reads it later."""
    request = f"settings cpus {cpus or 'NULL'}"
    for path in system.glob(SOCKETS):
        with contextlib.suppress(OSError):  # silent, killed, or ended just now
            system.ask(path, request)
