"""What other guests feel of one that is hostile: their p99 during each attack, and in quiet.

    .venv/bin/python -m bench.hostile [SECONDS [ATTACK…]]

Four guests ask for their metadata as clients do, each over a new connection from its own address,
at fixed times; how long an answer takes is reckoned from when it was to be asked for. In turn they
are alone for so many seconds, and beside the attack, three times, so that whatever else the machine
does is the same for both. The attack comes from other guests' addresses, and from strangers'. The
server has one CPU, and all who ask the other: attackers in a process of their own, at a rate that
leaves both CPUs room, but is above every limit of a guest. Where it may, the bench has the server
and the other guests scheduled before all else (SCHED_RR), and then the attackers: so what is
measured is what guests do to one another, and not what else the machine does.

Of each it prints both medians, both p99, their ratio (the goal: 2), the server's CPU during the
attack, its memory after it, and what was no good: an answer to the others that is none of 200, or
one to the attackers of 500 or 503. In the end, tracebacks in the log.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.attacks import ATTACKS, GUESTS
from bench.load import cpu_seconds
from bench.servers import CPUS, HOST, MDSVC, Served
from bench.waiting import private_kib
from mdsvc.app import open_store
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.forms import from_builtins, from_json
from mdsvc.instance import Instance
from mdsvc.topology import Host

OTHERS = tuple(f"127.0.1.{n}" for n in range(1, 5))
EACH = 15
"""Requests a second of each of the others: below the limit."""

ROUNDS = 3
SECONDS = 1.0
REQUEST = (
    b"GET /openstack/latest/meta_data.json HTTP/1.1\r\nHost: 169.254.169.254\r\n"
    b"User-Agent: Cloud-Init/24.4\r\nConnection: close\r\n\r\n"
)
PATIENCE = 8


class Slice(NamedTuple):
    """How long answers took, in seconds, and how many were none."""

    took: Sequence[float]
    faults: int


class Attacking(NamedTuple):
    """The attackers' process."""

    process: subprocess.Popen[str]

    def begin(self, name: str) -> None:
        self._say(f"on {name}")

    def end(self) -> int:
        """How many faults it was answered."""
        return int(self._say("off").split()[1])

    def _say(self, line: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


async def ask(port: int, peer: str, at: float) -> float:
    """Seconds since that moment of the loop's until the whole answer came; -1 for none of 200."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(at - loop.time())
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(peer, 0))
            writer.write(REQUEST)
            reply = await reader.read()
            writer.close()
    except OSError:
        return -1
    return loop.time() - at if reply.startswith(b"HTTP/1.1 200 ") else -1


async def asked(port: int, seconds: float) -> Slice:
    """All of the others, for so long."""
    begun = asyncio.get_running_loop().time() + 0.1
    times = [begun + n / (EACH * len(OTHERS)) for n in range(int(seconds * EACH * len(OTHERS)))]
    took = await asyncio.gather(
        *(ask(port, OTHERS[n % len(OTHERS)], at) for n, at in enumerate(times))
    )
    good = [each for each in took if each >= 0]
    return Slice(good, len(took) - len(good))


def measure(served: Served, attacking: Attacking, name: str, seconds: float) -> None:
    """In quiet and beside the attack, in turn, and print a line."""
    quiet, beside, cpu, answered = [], [], 0.0, 0
    for _ in range(ROUNDS):
        quiet.append(asyncio.run(asked(served.port, seconds)))
        attacking.begin(name)
        time.sleep(1.2)  # until all are there
        began, cpu_began = time.monotonic(), cpu_seconds(served.pid)
        beside.append(asyncio.run(asked(served.port, seconds)))
        cpu += (cpu_seconds(served.pid) - cpu_began) / (time.monotonic() - began) / ROUNDS
        answered += attacking.end()
        time.sleep(0.5)
    calm = sorted(took for each in quiet for took in each.took)
    hard = sorted(took for each in beside for took in each.took)
    faults = sum(each.faults for each in (*quiet, *beside))
    middle, last = len(calm) // 2, len(calm) * 99 // 100
    print(
        f"{name:17}{ATTACKS[name].what:>16}"
        f"{calm[middle] * 1e3:7.1f}{hard[len(hard) // 2] * 1e3:7.1f}"
        f"{calm[last] * 1e3:8.1f}{hard[len(hard) * 99 // 100] * 1e3:8.1f}"
        f"{hard[len(hard) * 99 // 100] / calm[last]:7.2f}"
        f"{100 * cpu:7.0f} %{private_kib(served.pid) / 1024:7.0f}{faults:7}{answered:7}",
        flush=True,
    )


async def fill(url: str) -> None:
    store = await open_store(url)
    await add_host(store, from_json(HOST.encode(), Host))
    for number, ip in enumerate((*OTHERS, *GUESTS)):
        form = {
            "uuid": f"11111111-2222-4333-8444-{number:012}",
            "project_id": "p",
            "name": f"g{number}",
            "flavor": {"name": "m", "vcpus": 1, "memory_mb": 64},
            "addresses": [{"network": "n", "ip": ip}],
        }
        await create_instance(store, from_builtins(form, Instance), None)
    await store.close()


def step_forward(priority: int) -> bool:
    """Be scheduled before whatever else the machine does, where this process may."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    except PermissionError:
        return False
    return True


def step_back() -> None:
    """As all others again. A parent that is scheduled before its child, on one CPU, can keep it
    from ending for ever, and waits for that in the kernel.
    """
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def server(folder: str) -> Iterator[Served]:
    """With the limits as they are set where nobody sets them; its log goes to a file."""
    url = f"sqlite:///{folder}/store.db"
    asyncio.run(fill(url))
    log = Path(folder, "log")
    flags = ["--guest", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--log-level", "info"]
    before = ["chrt", "--rr", "2"] if step_forward(2) else []
    command = [*before, "taskset", "-c", str(CPUS[0]), *MDSVC, "serve", "--store", url, *flags]
    with log.open("w") as file, subprocess.Popen(command, stderr=file) as process:
        try:
            deadline = time.monotonic() + 60
            while "ready" not in (text := log.read_text()):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"the server did not start: {text}")
                time.sleep(0.1)
            found = re.search(r"guests: http://127\.0\.0\.1:(\d+)", text)
            assert found
            yield Served(int(found[1]), process.pid)
        finally:
            process.terminate()


@contextmanager
def attackers(port: int) -> Iterator[Attacking]:
    before = ["chrt", "--rr", "1"] if step_forward(2) else ["nice"]
    command = [*before, sys.executable, "-m", "bench.attacks", str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Attacking(process)
        finally:
            step_back()
            process.kill()


def main(seconds: float = SECONDS, *names: str) -> None:
    """Measure each attack, and print a table."""
    os.sched_setaffinity(0, {CPUS[-1]})
    with tempfile.TemporaryDirectory() as folder:
        with server(folder) as served, attackers(served.port) as attacking:
            asyncio.run(asked(served.port, 1))  # all is loaded
            before = private_kib(served.pid) / 1024
            print(f"load before: {os.getloadavg()[0]:.1f}; ms; memory before: {before:.0f} MiB")
            print(f"{'':33}  median          p99            ratio  server    MiB faults:")
            print(
                f"{'attack':17}{'':16}  quiet beside   quiet  beside                        "
                "others attackers"
            )
            for name in names or ATTACKS:
                measure(served, attacking, name, seconds)
        log = Path(folder, "log").read_text()
        wrong = len(re.findall(r"Traceback| ERROR ", log))
        print(f"tracebacks and errors in the log: {wrong}")
        if wrong:
            print(log[-3000:])


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else SECONDS, *sys.argv[2:])
