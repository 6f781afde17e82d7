"""What a command costs: the CPU of whole processes, beside a Python that does nothing.

    .venv/bin/python -m bench.commands [ROUNDS]

Each round runs all of them once, so that whatever else the machine does is the same for all. The
least of each is printed, in seconds of user and system time, and how many times that of `python -c
pass` in the same rounds it is: machines differ, and the ratio hardly does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from tempfile import TemporaryDirectory

MDSVC = str(Path(sys.executable).with_name("mdsvc"))
NOTHING = (sys.executable, "-c", "pass")

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--help",),
    ("host", "list", "--help"),
    ("serve", "--help"),
    ("fit", "docs/examples/questions.jsonl"),
    ("host", "list", "--json"),
    ("host", "list"),
    ("instance", "list", "--json"),
)
STORED = COMMANDS[-3:]

Run = tuple[str, Sequence[str], dict[str, str]]
"""A name, the process, and the settings that it has."""


def main(rounds: int) -> None:
    """Measure, and print a line for each command, with a server for those that can ask one."""
    with TemporaryDirectory() as folder:
        store = {"MDSVC_STORE": f"sqlite:///{folder}/store.db"}
        _cpu((MDSVC, "host", "add", "docs/examples/host.json"), store)
        with _server(store) as url:
            server = {"MDSVC_SERVER": url}
            runs: list[Run] = [("python -c pass", NOTHING, store)]
            runs += [(f"mdsvc {' '.join(args)}", (MDSVC, *args), store) for args in COMMANDS]
            runs += [
                (f"mdsvc {' '.join(args)} (server)", (MDSVC, *args), server) for args in STORED
            ]
            least = [min(times) for times in zip(*_rounds(rounds, runs), strict=True)]
    for (name, _, _), seconds in zip(runs, least, strict=True):
        print(f"{name:40} {seconds:6.3f} s {seconds / least[0]:6.1f} x")


def _rounds(rounds: int, runs: Sequence[Run]) -> Iterator[list[float]]:
    for _ in range(rounds):
        yield [_cpu(args, env) for _, args, env in runs]


def _cpu(args: Sequence[str], env: dict[str, str]) -> float:
    """Seconds of user and system time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(args, env=_environment(env), stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment(more: dict[str, str]) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if not k.startswith("MDSVC_")}, **more}


@contextmanager
def _server(store: dict[str, str]) -> Iterator[str]:
    """A server on the store, on free ports; its operator's URL."""
    ports = []
    for _ in range(2):
        with create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    guest, operator = (f"127.0.0.1:{port}" for port in ports)
    serve = (MDSVC, "serve", "--guest", guest, "--operator", operator)
    with subprocess.Popen(serve, env=_environment(store), stderr=subprocess.PIPE, text=True) as it:
        try:
            assert it.stderr
            for line in it.stderr:
                if line == "mdsvc: ready\n":
                    break
            yield f"http://{operator}"
        finally:
            it.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
