"""`mdsvc demo` shows the whole of it, ends well however it ends, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdsvc.demo.network import can_make_namespaces
from tests.cli.command import MDSVC, environment

needs_root = pytest.mark.skipif(not can_make_namespaces(), reason="namespaces need root")

RUN = Path("/run/netns")
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
MOST_SECONDS = 60


class Demo:
    """One run of the demonstration, its temporary files in a directory of its own."""

    def __init__(self, directory: Path, *command: str) -> None:
        self.directory = directory
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*command],
            env=environment(TMPDIR=str(directory), COLUMNS="120"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, text: str) -> str:
        """Read up to the line that has this text."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"no {text!r} in:\n{self.output}")

    def end(self, code: int) -> str:
        """Wait for its end with this exit code, and nothing left. All of its output."""
        out, errors = self.process.communicate(timeout=MOST_SECONDS)
        self.lines.append(out)
        assert self.process.returncode == code, errors
        assert list(self.directory.iterdir()) == []
        assert self.namespaces == []
        return errors

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def namespaces(self) -> list[str]:
        return sorted(path.name for path in RUN.glob(f"mdsvc-demo-{self.process.pid}-*"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "temporary"
    directory.mkdir()
    return directory


@pytest.fixture
def demos(directory: Path) -> Iterator[list[Demo]]:
    started: list[Demo] = []
    yield started
    for demo in started:
        with demo.process:
            demo.process.kill()
        for name in demo.namespaces:
            subprocess.run(["ip", "netns", "delete", name], check=True)


def start(demos: list[Demo], directory: Path, *args: str, wrapper: tuple[str, ...] = ()) -> Demo:
    demos.append(Demo(directory, *wrapper, str(MDSVC), "demo", *args))
    return demos[-1]


def in_order(text: str, *pieces: str) -> bool:
    """Whether the pieces are there, one after the other."""
    return re.search(".*?".join(map(re.escape, pieces)), text, re.DOTALL) is not None


@needs_root
def test_it_shows_what_was_asked_where_it_is_and_what_the_guest_learned(
    demos: list[Demo], directory: Path
) -> None:
    started = time.monotonic()
    demo = start(demos, directory)
    assert demo.end(0) == ""
    assert time.monotonic() - started < MOST_SECONDS
    assert in_order(
        demo.output,
        "Registering hosts",
        "this-machine",
        "compute-1",
        "Placing guests",
        "k8s-node",
        "dpdk-0: 8 vCPUs, mixed; dedicated 2-3,5-7",
        "Starting the server",
        "http://169.254.169.254:80",
        "The guest boots",
        "cloud-init",
        "what the operator asked for",
        "where the fitter put it",
        "what the guest learned",
        "What to try next",
    )
    for piece in (
        "resources:VCPU",
        "resources:PCPU",
        "hw:numa_nodes",
        "dedicated vCPUs   2-3,5-7",
        "ds.meta_data.dedicated_cpus    2-3,5-7",
        "ds.ec2_metadata.cpu.dedicated  2-3,5-7",
        "ds.ec2_metadata.cpu.shared     0-1,4",
        "2→",
    ):
        assert piece in demo.output


@needs_root
@pytest.mark.parametrize("columns", ["40", "200"])
def test_it_is_read_at_any_width(demos: list[Demo], directory: Path, columns: str) -> None:
    demo = start(demos, directory, wrapper=("env", f"COLUMNS={columns}"))
    assert demo.end(0) == ""
    assert "2-3,5-7" in demo.output
    assert max(map(len, demo.output.splitlines())) <= int(columns) + 80


@needs_root
def test_two_at_the_same_time_do_not_meet(demos: list[Demo], tmp_path: Path) -> None:
    directories = [tmp_path / name for name in ("one", "two")]
    for directory in directories:
        directory.mkdir()
        start(demos, directory)
    for demo in demos:
        assert demo.end(0) == ""
        assert "ds.ec2_metadata.cpu.dedicated  2-3,5-7" in demo.output


# ---- staying up ----


def ask(command: str) -> str:
    """Run a command that the demonstration names."""
    done = subprocess.run(command.split(), capture_output=True, check=True, timeout=20)
    return done.stdout.decode()


def commands(demo: Demo) -> list[str]:
    """The commands that it names, to ask by hand."""
    demo.until("Staying up")
    found = [demo.until("curl ").strip() for _ in range(3)]
    return [command.replace("curl ", "curl --silent --fail --noproxy * ") for command in found]


@needs_root
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "termination"])
def test_it_stays_up_and_answers_until_it_is_told_to_end(
    demos: list[Demo], directory: Path, how: signal.Signals
) -> None:
    demo = start(demos, directory, "--serve")
    document, leaf, layout = commands(demo)
    assert document.startswith("ip netns exec mdsvc-demo-")
    assert len(demo.namespaces) == 2
    assert json.loads(ask(document))["dedicated_cpus"] == "2-3,5-7"
    assert ask(leaf) == "2-3,5-7"
    assert json.loads(ask(layout))["dedicated_cpus"] == "2-3,5-7"
    assert demo.process.poll() is None
    demo.process.send_signal(how)
    assert demo.end(0) == ""
    assert "What to try next" in demo.output


@needs_root
@pytest.mark.parametrize("at", ["Registering hosts", "The guest boots"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "termination"])
def test_it_cleans_up_when_it_is_ended_in_between(
    demos: list[Demo], directory: Path, how: signal.Signals, at: str
) -> None:
    demo = start(demos, directory)
    demo.until(at)
    demo.process.send_signal(how)
    demo.end(130)


@needs_root
@pytest.mark.parametrize("milliseconds", [0, 10, 30, 90])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "termination"])
def test_it_cleans_up_when_it_is_ended_while_it_comes_up(
    demos: list[Demo], directory: Path, how: signal.Signals, milliseconds: int
) -> None:
    """A signal that comes while a network is made waits until that is over."""
    demo = start(demos, directory)
    while not demo.namespaces:
        assert demo.process.poll() is None
    time.sleep(milliseconds / 1000)
    demo.process.send_signal(how)
    demo.end(130)


# ---- without root ----


def without_root() -> list[tuple[str, ...]]:
    """Ways to be somebody who may not make namespaces, and can still read the checkout."""
    if os.geteuid() != 0:
        return [()]
    return [WITHOUT_CAPABILITIES, ("unshare", "--user")]


@pytest.mark.parametrize("wrapper", without_root(), ids=" ".join)
def test_without_root_it_is_on_loopback_with_a_plain_client(
    demos: list[Demo], directory: Path, wrapper: tuple[str, ...]
) -> None:
    directory.chmod(0o777)
    demo = start(demos, directory, wrapper=wrapper)
    assert demo.end(0) == ""
    assert in_order(
        demo.output,
        "No namespaces:",
        "Registering hosts",
        "http://127.0.0.1:",
        "a plain HTTP client reads the metadata",
        "what the guest learned",
        "What to try next",
    )
    assert "meta_data.json: dedicated_cpus  2-3,5-7" in demo.output
    assert "EC2: cpu/dedicated              2-3,5-7" in demo.output


def test_without_root_it_stays_up_as_well(demos: list[Demo], directory: Path) -> None:
    demo = start(demos, directory, "--serve", wrapper=without_root()[0])
    document, leaf, _ = commands(demo)
    assert document.startswith("curl ")
    assert json.loads(ask(document))["dedicated_cpus"] == "2-3,5-7"
    assert ask(leaf) == "2-3,5-7"
    curl = "curl --silent --fail --noproxy *"
    stuck = demo.until("a placement that is stuck: ").split()[-1]
    assert "fits on none of 39 hosts" in ask(f"{curl} {stuck}")
    page = demo.until("the page: ").split()[-1]
    told = ask(f"{curl} {page}")
    for piece in ("compute-1", "epyc-01", "1 draining", "not yet: ", "39 hosts"):
        assert piece in told
    assert ask(f"{curl} {page}instances?drifted=true").count('class="drift"') == 1
    demo.process.send_signal(signal.SIGTERM)
    assert demo.end(0) == ""
