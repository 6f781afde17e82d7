"""Programs of a real cloud for the tests: a whole Nova, and Neutron's agent behind its haproxy."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mdsvc.demo.network import METADATA_IPV4

from .client import PYTHON, Json

HERE = Path(__file__).parent
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin")


class Guest(NamedTuple):
    """A guest that Nova has booted."""

    uuid: str
    project: str


class Cloud:
    """A running `cloud.py`; of loopback its metadata API is at ``port``, Nova's own at ``api``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin  # it is a pipe, and so is stdout
        assert process.stdout
        self._stdin, self._stdout = process.stdin, process.stdout
        self.pid = process.pid
        ports = self._answer()
        self.port, self.api = int(ports["port"]), int(ports["api"])

    def boot(self, vcpus: int, extra_specs: Mapping[str, str], **server: object) -> Guest:
        """A guest that Nova's scheduler places. Raises ValueError."""
        flavor = {"vcpus": vcpus, "extra_specs": extra_specs}
        booted = self.ask("boot", flavor=flavor, server={"name": "dpdk-0", **server})
        return Guest(booted["uuid"], booted["project"])

    def ask(self, op: str, **question: object) -> Json:
        """One of `cloud.py`'s operations. Raises ValueError where Nova refuses."""
        self._stdin.write(json.dumps({"op": op, **question}) + "\n")
        self._stdin.flush()
        answer = self._answer()
        if not answer.pop("ok"):
            raise ValueError(f"{answer['error']}: {answer['message']}")
        return answer

    def _answer(self) -> Json:
        answer: Json = json.loads(self._stdout.readline())
        return answer


@contextmanager
def cloud(secret: str, kept_seconds: int) -> Iterator[Cloud]:
    """A whole Nova, whose metadata API takes what is signed with the secret.

    It keeps what it knows of a guest for that long; Nova's own default is 15.
    """
    with _program("cloud.py", secret, str(kept_seconds)) as process:
        yield Cloud(process)


@contextmanager
def agent(upstream: int, secret: str, guests: Mapping[str, Guest], namespace: str) -> Iterator[str]:
    """Neutron's agent and haproxy, which answer at the metadata address of a network namespace.

    ``upstream`` is the port that the agent asks, ``guests`` are by their addresses there. Gives the
    path of the agent's own socket.
    """
    with tempfile.TemporaryDirectory(prefix="mdsvc-agent-") as folder:
        settings = {
            "folder": folder,
            "upstream": upstream,
            "secret": secret,
            "address": METADATA_IPV4,
            "guests": guests,
        }
        with _program("agent.py", json.dumps(settings)) as process:
            assert process.stdout
            ready = json.loads(process.stdout.readline())
            with _haproxy(ready["haproxy"], Path(folder), namespace):
                yield ready["socket"]


@contextmanager
def _haproxy(settings: str, folder: Path, namespace: str) -> Iterator[None]:
    """It says when it listens, and stays in the foreground."""
    path = folder / "haproxy.cfg"
    path.write_text(settings)
    assert HAPROXY
    command = ["nsenter", f"--net=/run/netns/{namespace}", HAPROXY, "-W", "-db", "-f", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert process.stderr
            for line in process.stderr:
                if "Loading success" in line:
                    break
            else:
                raise RuntimeError("haproxy has not started")
            yield
        finally:
            process.terminate()


@contextmanager
def _program(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One of the scripts here under Nova's interpreter; it ends with its standard input."""
    # -E -s: with the tests on PYTHONPATH this folder would pass for the package `nova`.
    with subprocess.Popen(
        [PYTHON, "-E", "-s", HERE / script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
