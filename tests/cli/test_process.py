"""The command as a process: streams that are closed, full or gone, and the interrupt key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.cli.command import MDSVC, ROOT, Mdsvc, environment, process
from tests.cli.values import UUID, flavor, guest, host

Start = Callable[..., "subprocess.Popen[bytes]"]

LIST = ("host", "list", "--json")
NO_STORE = "memory://"
"""Where it is not about the store: a process with a real one starts slowly."""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command on an empty store; what still runs in the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def it(*args: str, stdout: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(
                [str(MDSVC), *args],
                bufsize=0,
                env=environment(MDSVC_STORE=NO_STORE),
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=subprocess.PIPE,
            )
        )
        return started[-1]

    yield it
    for one in started:
        one.kill()
        one.wait()
        for stream in (one.stdin, one.stdout, one.stderr):
            if stream:
                stream.close()


def test_a_process_says_what_one_in_process_says(with_guest: Mdsvc) -> None:
    """The other tests run the command in this process: here is why they may."""
    steps: tuple[tuple[tuple[str, ...], object], ...] = (
        (("host", "show", "h1"), b""),
        (("host", "show", "h2"), b""),
        (("instance", "create", "-"), guest()),
        (("instance", "create", "-"), b"\xff"),
        (("host", "add"), b""),
    )
    codes = []
    for args, stdin in steps:
        here = with_guest(*args, stdin=stdin)
        there = process(*args, stdin=stdin, MDSVC_STORE=with_guest.url)
        assert there == here
        codes.append(there.code)
    assert codes == [0, 4, 3, 2, 2]


def test_the_package_runs_as_a_module_s_command_does(tmp_path: Path) -> None:
    """From any directory, without the checkout on the path."""
    done = subprocess.run([str(MDSVC), "--version"], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.startswith(b"mdsvc")


# ---- whoever reads is gone ----


@pytest.mark.parametrize("args", [LIST, ("host", "list"), ("completion", "zsh"), ("--help",)])
def test_a_reader_that_is_gone_is_no_traceback(start: Start, args: tuple[str, ...]) -> None:
    running = start(*args)
    assert running.stdout
    running.stdout.close()
    assert running.stderr
    assert running.stderr.read() == b""
    assert running.wait(20) == 1


def test_a_reader_that_leaves_ends_a_long_run(start: Start) -> None:
    question = json.dumps({"host": host(), "flavor": flavor()}).encode() + b"\n"
    running = start("fit")
    assert running.stdin
    assert running.stdout
    assert running.stderr
    running.stdin.write(question)
    assert running.stdout.readline().startswith(b'{"fits":true')
    running.stdout.close()
    try:
        for _ in range(1000):
            running.stdin.write(question)
    except BrokenPipeError:
        pass
    assert running.stderr.read() == b""
    assert running.wait(20) == 1


def test_answers_come_while_questions_are_still_asked(start: Start) -> None:
    """`fit` works in a pipe with somebody at both ends of it."""
    running = start("fit")
    assert running.stdin
    assert running.stdout
    for line in (b"{}\n", b"\n"):
        running.stdin.write(line)
        assert b"BadInput" in running.stdout.readline()
    running.stdin.close()
    assert running.wait(20) == 0


@pytest.mark.parametrize("args", [LIST, ("host", "list"), ("--version",)])
def test_a_full_disk_is_one_message(start: Start, args: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        running = start(*args, stdout=full)
        assert running.stderr
        assert running.stderr.read() == b"mdsvc: [Errno 28] No space left on device\n"
        assert running.wait(20) == 1


# ---- streams that the caller has closed ----

CLOSED: dict[str, dict[tuple[str, ...], int]] = {
    "<&-": {LIST: 0, ("host", "add", "-"): 2, ("fit",): 0, ("host", "show", "h2"): 4},
    ">&-": {LIST: 0, ("host", "list"): 0, ("host", "show", "h2"): 4, ("--help",): 0},
    "2>&-": {LIST: 0, ("host", "show", "h2"): 4},
    "<&- >&- 2>&-": {LIST: 0, ("host", "show", "h2"): 4, ("fit",): 0},
}


@pytest.mark.parametrize(
    ("closed", "args", "code"),
    [(closed, args, code) for closed, codes in CLOSED.items() for args, code in codes.items()],
)
def test_closed_streams_do_no_harm(closed: str, args: tuple[str, ...], code: int) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", str(MDSVC), *args],
        stdin=subprocess.DEVNULL,
        env=environment(MDSVC_STORE=NO_STORE),
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stderr


# ---- terminals ----


@pytest.mark.parametrize("columns", ["", "0", "x", "-5", "1", "20", "99999999", "٣"])
def test_any_width_is_drawn_to(
    with_guest: Mdsvc, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = with_guest("host", "show", "h1")
    assert (done.code, done.err) == (0, "")
    assert done.out


def test_a_narrow_width_is_kept(with_guest: Mdsvc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, with_guest("host", "show", "h1").out.splitlines())) <= 40


def test_a_terminal_without_unicode_gets_a_drawing_too(with_guest: Mdsvc) -> None:
    plain = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    for args in (("host", "show", "h1"), ("instance", "show", UUID)):
        done = process(*args, MDSVC_STORE=with_guest.url, **plain)
        assert (done.code, done.err) == (0, "")
        assert done.out.isascii()


# ---- the interrupt key ----


@pytest.mark.parametrize("args", [("fit",), ("instance", "create", "-")])
def test_an_interrupt_ends_it_without_a_traceback(start: Start, args: tuple[str, ...]) -> None:
    running = start(*args)
    assert running.stderr
    _wait_until_it_reads(running.pid)
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    assert b"Traceback" not in running.stderr.read()


def _wait_until_it_reads(pid: int) -> None:
    """Until the process waits for its input."""
    wchan = Path(f"/proc/{pid}/syscall")
    for _ in range(2000):
        if wchan.read_text().startswith("0 0x0 "):  # read(2) of file 0
            return
        os.sched_yield()
        signal.sigtimedwait([], 0.01)
    raise AssertionError("it does not read")


# ---- no shell, no surprise ----


def test_the_documentation_s_pipe_works(with_guest: Mdsvc) -> None:
    """A host is shown, changed and registered under another name, all in a pipe."""
    script = f"""
        set -eo pipefail
        "{MDSVC}" host list --json | "{MDSVC.with_name("python")}" -c '
import json, sys
host = json.load(sys.stdin)[0]
for cell in host["cells"]:
    cell |= dict(pinned="", shared_used=0, memory_used_mb=0)
print(json.dumps(host | dict(name="h9")))' | "{MDSVC}" host add - --json
    """
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment(MDSVC_STORE=with_guest.url),
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["name"] == "h9"
