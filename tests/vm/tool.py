"""mdguest in a real guest: installed, run, and what it has done looked at."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mdguest.cpuset import CpuSet

from tests.vm.machine import Background, Machine, Result
from tests.vm.snapshot import Snapshot, differences

INSIDE = Path(__file__).parent / "inside"
PROGRAMS = "/opt/vm"
LAYOUT = "/etc/layout"
JOURNAL = "/run/mdguest/journal"
SLOW = 400
"""Seconds; a guest without KVM on a machine that has other things to do."""

T = TypeVar("T")


class Guest:
    """A machine with the tool."""

    def __init__(self, machine: Machine, pyz: bytes) -> None:
        self.machine = machine
        self._install(pyz)

    def _install(self, pyz: bytes) -> None:
        """Unpacked and compiled, since to compile it at each start takes the most time here."""
        self.machine.put("/opt/mdguest.pyz", pyz)
        self.machine.put(
            "/usr/bin/mdguest", '#!/bin/sh\nexec /usr/bin/python3 -I /opt/mdguest "$@"\n', 0o755
        )
        for program in INSIDE.glob("*.py"):
            self.machine.put(f"{PROGRAMS}/{program.name}", program.read_bytes())
        self.run(
            "python3 -m zipfile -e /opt/mdguest.pyz /opt/mdguest"
            " && python3 -m compileall -q /opt/mdguest"
        )

    # ---- the tool ----

    def tool(self, arguments: str, code: int = 0) -> Result:
        """Run `mdguest ARGUMENTS`, which ends with this code."""
        done = self.machine.run(f"mdguest {arguments}", check=False, timeout=SLOW)
        assert done.code == code, f"mdguest {arguments}: {done}"
        return done

    def json(self, arguments: str, code: int = 0) -> Any:
        return json.loads(self.tool(f"{arguments} --json", code).stdout)

    def layout(self, cpus: str) -> str:
        """Have the source say that these CPUs are dedicated; the flag that names the source."""
        self.machine.put(LAYOUT, json.dumps({"dedicated_cpus": cpus}))
        return f"--source file:{LAYOUT}"

    def apply(self, cpus: str, flags: str = "") -> Any:
        """Isolate these CPUs; what it says it did."""
        return self.json(f"apply {self.layout(cpus)} {flags}")

    def refused(self, cpus: str, flags: str = "") -> str:
        """Have it refuse to isolate these CPUs; its reason."""
        return self.tool(f"apply {self.layout(cpus)} {flags}", code=3).stderr

    @property
    def problems(self) -> list[str]:
        """What verify finds wrong; its exit code says the same, or that somebody is displaced."""
        done = self.machine.run("mdguest verify --json", check=False, timeout=SLOW)
        status = json.loads(done.stdout)
        found = [problem["what"] for problem in status["problems"]]
        assert done.code == (3 if found or status["displaced"] else 0), done
        return found

    @property
    def displaced(self) -> dict[str, str]:
        """Who asked for dedicated CPUs outside the pool, and for which."""
        return {who["unit"]: who["cpus"] for who in self.json("status")["displaced"]}

    @contextlib.contextmanager
    def undone(self) -> Iterator[Snapshot]:
        """In the end it is undone, and everything as it was."""
        before = self.look()
        try:
            yield before
        except BaseException:
            self.machine.run("mdguest undo", check=False, timeout=SLOW)  # the next test is another
            raise
        self.tool("undo")
        left = differences(before, self.look())
        assert not left, "\n".join(left)
        assert self.code(f"test -e {JOURNAL}") == 1

    # ---- the guest ----

    def run(self, command: str, *, check: bool = True) -> str:
        """A shell command's output."""
        return self.machine.run(command, check=check, timeout=SLOW).stdout.strip()

    def code(self, command: str) -> int:
        return self.machine.run(command, check=False, timeout=SLOW).code

    def spawn(self, command: str) -> Background:
        return self.machine.spawn(command)

    @contextlib.contextmanager
    def spawned(self, *commands: str) -> Iterator[list[int]]:
        """These go on in the background meanwhile; their process ids."""
        started = [self.machine.spawn(command) for command in commands]
        try:
            yield [one.pid for one in started]
        finally:
            for one in started:
                self.machine.run(f"kill -9 -{one.pid}", check=False)
            for one in started:
                one.wait()

    def read(self, path: str) -> str:
        return self.machine.get(path).decode().strip()

    def look(self) -> Snapshot:
        return Snapshot.read(self.run(f"python3 {PROGRAMS}/look.py"))

    def affinity(self, pid: int) -> str:
        """The CPUs that a process may use, as a list."""
        status = self.read(f"/proc/{pid}/status")
        [allowed] = [line for line in status.splitlines() if line.startswith("Cpus_allowed_list")]
        return allowed.split()[1]

    def pool(self, name: str) -> str:
        """A file of the pool's cgroup."""
        return self.read(f"/sys/fs/cgroup/dedicated.slice/cpuset.cpus{name}")

    def counted(self, file: str) -> int:
        """How far inside/count.py has come."""
        return int.from_bytes(self.machine.get(file), "little")


def until(claim: Callable[[], T], seconds: float = SLOW, pause: float = 0.3) -> T:
    """Wait for something to be true."""
    deadline = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(pause)
    return found


def cpus(text: str) -> set[int]:
    return set(CpuSet.parse(text))
