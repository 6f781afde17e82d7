"""The measurement on this machine, with real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipapp
from pathlib import Path

import pytest
from mdguest.cpuset import CpuSet
from mdguest.measure import Wanted, measure
from mdguest.measure.waiting import Waiting, gated
from mdguest.system import System

GUEST_TOOLS = Path(__file__).parents[3] / "guest-tools"
CPUS = CpuSet.of(sorted(os.sched_getaffinity(0))[:2])

SCRIPT = """
import sys
from mdguest.cpuset import CpuSet
from mdguest.measure import Wanted, measure
from mdguest.system import System

def say(phase, done):
    print(phase, file=sys.stderr, flush=True)

try:
    wanted = Wanted(CpuSet.parse(sys.argv[1]), seconds=float(sys.argv[2]), tools=False)
    report = measure(System(), wanted, progress=say)
    print(sum(cpu.probe is not None for cpu in report.cpus))
except KeyboardInterrupt:
    sys.exit(130)
"""


def probes(parent: int) -> list[int]:
    """The probes of a process, also after its end: its id is their last argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[1:4] == [b"-I", b"-S", b"-c"] and words[-2] == str(parent).encode():
            found.append(int(path.parent.name))
    return found


def test_two_cpus_are_measured_for_half_a_second_and_nothing_is_left() -> None:
    before = os.sched_getaffinity(0)
    report = measure(System(), Wanted(CPUS, CPUS, 0.5, probing="always", tools=False))
    assert 0.5 <= report.seconds < 5
    assert [cpu.cpu for cpu in report.cpus] == list(CPUS)
    assert all(cpu.probe for cpu in report.cpus), report
    for cpu in report.cpus:
        assert cpu.probe is not None
        assert cpu.probe.seconds >= 0.5
        assert 0 < cpu.probe.worst_us <= cpu.probe.seconds * 1e6
        assert sum(cpu.counts.interrupts.values()) > 0, "a busy CPU of a VM has a tick"
    assert probes(os.getpid()) == []
    assert os.sched_getaffinity(0) == before


@pytest.fixture
def measuring() -> subprocess.Popen[str]:
    """A process that has its probes running."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(CPUS), "60"],
        env={**os.environ, "PYTHONPATH": str(GUEST_TOOLS)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line == "measuring\n":
            break
    return process


def ended(process: subprocess.Popen[str], with_signal: signal.Signals) -> int:
    """Its exit status when it is sent the signal."""
    process.send_signal(with_signal)
    with process:
        return process.wait(timeout=20)


def test_ctrl_c_ends_the_probes_before_the_program_ends(measuring: subprocess.Popen[str]) -> None:
    assert len(probes(measuring.pid)) == len(CPUS)
    assert ended(measuring, signal.SIGINT) == 130
    assert probes(measuring.pid) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_probes_end_by_themselves_when_nobody_can_end_them(
    measuring: subprocess.Popen[str], how: signal.Signals
) -> None:
    assert ended(measuring, how) == -how
    deadline = time.monotonic() + 20
    while probes(measuring.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert probes(measuring.pid) == []


def test_probes_run_from_inside_a_zipapp(tmp_path: Path) -> None:
    archive = tmp_path / "measure.pyz"
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(GUEST_TOOLS / "mdguest", source / "mdguest", ignore=ignored)
    (source / "__main__.py").write_text(SCRIPT)
    zipapp.create_archive(source, archive)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(archive), str(CPUS), "0.1"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout == f"{len(CPUS)}\n", done.stderr


def test_a_program_waits_at_the_gate_for_its_word() -> None:
    process = Waiting(gated(["/bin/echo", "a  b", "$HOME"]))
    time.sleep(0.05)
    process.go()
    assert process.answer(5) == (0, "a  b $HOME\n")
    process.stop()


def test_a_program_whose_word_never_comes_does_not_run() -> None:
    process = Waiting(gated(["/bin/echo", "ran"]))
    assert process.answer(5) == (1, "")
    process.stop()


def test_a_program_that_takes_too_long_is_given_up_and_ended() -> None:
    process = Waiting(gated(["/bin/sleep", "60"]))
    process.go()
    assert process.answer(0.1) == (124, "no answer within 0.1 s")
    process.stop()
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_word_to_a_process_that_is_gone_is_no_error() -> None:
    process = Waiting(["/bin/true"])
    time.sleep(0.1)
    process.go()
    process.go()
    assert process.answer(5)[0] == 0
    process.stop()
