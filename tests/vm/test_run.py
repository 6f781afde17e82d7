"""mdguest run in a real guest: six CPUs, of which 2-5 are isolated."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from tests.vm.machine import Background, Machine
from tests.vm.tool import PROGRAMS, Guest, cpus, until

COUNTED = "/run/counted"
TESTPMD = (
    "dpdk-testpmd -l {{lcores}} --no-huge -m 64 --no-pci --no-telemetry --file-prefix {name}"
    " --vdev net_null0 --vdev net_null1 -- --stats-period 1 --total-num-mbufs 2048"
)


@pytest.fixture(scope="module")
def guest(suite: str, pyz: bytes) -> Iterator[Guest]:
    """A guest with a pool; everything is as it was in the end."""
    with Machine(suite, cpus=6, memory=768) as machine:
        guest = Guest(machine, pyz)
        assert "run mdguest apply first" in guest.tool("run -- true", code=4).stderr
        with guest.undone():
            guest.apply("2-5")
            yield guest


@pytest.fixture(autouse=True)
def given_back(guest: Guest) -> Iterator[None]:
    """Whatever a test ran has ended, and then nothing of it is left."""
    yield
    until(lambda: guest.run("pgrep -f [m]dguest.run", check=False) == "")
    until(lambda: guest.run("find /sys/fs/cgroup/dedicated.slice -mindepth 1 -type d") == "")
    status = guest.json("status")
    assert (status["subsets"], status["problems"]) == ([], [])


@contextlib.contextmanager
def running(guest: Guest, flags: str, command: str) -> Iterator[Background]:
    """It runs in the pool meanwhile."""
    process = guest.spawn(f"exec mdguest run {flags} -- {command}")
    try:
        until(lambda: _is_inside(guest, process))
        yield process
    finally:
        process.stop(signal.SIGKILL)


def _is_inside(guest: Guest, process: Background) -> bool:
    """Whether it has become the program: then it is neither ours nor systemd's."""
    assert guest.machine.poll(process.pid) is None, process.output
    words = guest.run(f"tr '\\0' ' ' < /proc/{process.pid}/cmdline")
    return "mdguest" not in words and "dedicated.slice" in guest.read(f"/proc/{process.pid}/cgroup")


def held(guest: Guest) -> dict[str, str]:
    return {subset["name"]: subset["cpus"] for subset in guest.json("status")["subsets"]}


def affinities(guest: Guest, pid: int) -> list[str]:
    """Of each thread."""
    lines = guest.run(f"grep -h Cpus_allowed_list /proc/{pid}/task/*/status", check=False)
    return sorted(line.split()[1] for line in lines.splitlines())


def test_programs_have_cpus_that_no_other_has(guest: Guest) -> None:
    with (
        running(guest, "--cpus 2 --name one", "sleep inf") as one,
        running(guest, "--cpus 4-4 --name two", "sleep inf") as two,
    ):
        assert held(guest) == {"one": "2-3", "two": "4"}
        assert [guest.affinity(process.pid) for process in (one, two)] == ["2-3", "4"]
        message = guest.tool("run --cpus 3-5 -- true", code=3).stderr
        assert message == "mdguest: --cpus 3-5: one holds CPU 3\n"
        message = guest.tool("run --cpus 2 -- true", code=3).stderr
        assert message == "mdguest: --cpus 2: only 1 of the pool are free (5)\n"
        message = guest.tool("run --cpus 1 --name one -- true", code=3).stderr
        assert "there is one of that name" in message


def test_the_program_is_told_its_cpus_and_ends_with_its_own_code(guest: Guest) -> None:
    done = guest.tool("run --cpus 3 -- sh -c 'echo {cpus} {lcores}; exit 7'", code=7)
    assert (done.stdout, done.stderr) == ("2-4 2,3,4\n", "")


def test_the_program_gets_its_arguments_as_they_are_from_nobody_elses_code(guest: Guest) -> None:
    guest.run("mkdir -p /tmp/odd && echo 'raise SystemExit(99)' > /tmp/odd/contextlib.py")
    there = "cd /tmp/odd && export PYTHONPATH=/tmp/odd"
    words = "printf '%s|' '$HOME' '${HOME}' '$$' '%n'"
    assert guest.run(f"{there} && mdguest run --cpus 1 -- {words}") == "$HOME|${HOME}|$$|%n|"


SERVICE = """\
[Service]
ExecStart=/usr/bin/mdguest run --cpus 2 --name forwarder -- \
    /bin/sh -c "sleep 1001 & sleep 1002 & wait"
"""


def test_what_a_service_runs_ends_with_the_service(guest: Guest) -> None:
    def running() -> list[str]:
        return guest.run("pgrep -f '^sleep 100[12]$'", check=False).split()

    guest.machine.put("/run/systemd/system/forwarder.service", SERVICE.encode())
    guest.run("systemctl daemon-reload && systemctl start forwarder")
    until(lambda: len(running()) == 2)
    first = running()
    guest.run("systemctl restart forwarder")
    until(lambda: len(running()) == 2 and not set(first) & set(running()))
    assert held(guest) == {"forwarder": "2-3"}
    guest.run("systemctl stop forwarder")
    until(lambda: running() == [])
    assert guest.run("systemctl is-failed forwarder", check=False) == "inactive"
    guest.run("rm /run/systemd/system/forwarder.service && systemctl daemon-reload")
    guest.apply("2-5")  # systemd 257 watches its memory pressure by a new kernel thread, psimon


def test_what_is_no_program_is_one_message(guest: Guest) -> None:
    assert guest.tool("run -- nowhere", code=4).stderr == "mdguest: nowhere: no such program\n"


def test_signals_reach_the_program(guest: Guest) -> None:
    handler = "sh -c \"trap 'exit 9' TERM; touch /run/ready; while :; do :; done\""
    with running(guest, "--cpus 1", handler) as process:
        until(lambda: guest.code("test -e /run/ready") == 0)
        guest.run(f"kill {process.pid}")
        assert process.wait() == 9


def test_cpus_come_back_when_the_program_is_killed(guest: Guest) -> None:
    with running(guest, "--name doomed", "sleep inf") as process:
        assert held(guest) == {"doomed": "2-5"}
        guest.run(f"kill -9 {process.pid}")
        assert process.wait() == -9
        until(lambda: held(guest) == {})


def test_cpus_are_held_until_the_last_process_has_ended(guest: Guest) -> None:
    guest.tool("run --cpus 1 --name parent -- sh -c 'sleep 1000 & echo $! > /run/child'")
    child = int(guest.read("/run/child"))
    assert held(guest) == {"parent": "2"}
    guest.run(f"kill {child}")
    until(lambda: held(guest) == {})


def are_spread(guest: Guest, busy: list[int]) -> bool:
    """Whether the busy threads are on these CPUs, and each may use all of the subset's, 2-3."""
    tasks = [task for task in guest.look().tasks if "mdguest-spread.scope" in task.group]
    found = sorted(task.processor for task in tasks if task.state == "R")
    return found == busy and all(task.cpus == [2, 3] for task in tasks)


def test_busy_threads_are_spread_over_the_cpus(guest: Guest) -> None:
    threads = f"python3 {PROGRAMS}/threads.py 4"
    with running(guest, "--cpus 2 --name spread", threads):
        until(lambda: are_spread(guest, [2, 2, 3, 3]))


@pytest.mark.parametrize("how", ["--pin", "--balance"])
def test_busy_processes_are_spread_over_the_cpus(guest: Guest, how: str) -> None:
    loops = "sh -c 'for i in 1 2; do while :; do :; done & done; wait'"
    with running(guest, f"--cpus 2 --name spread {how}", loops) as process:
        until(lambda: are_spread(guest, [2, 3]))
        status = guest.json("status")
        assert status["problems"] == []
        assert status["subsets"] == [{"name": "spread", "cpus": "2-3"}]
        assert "spread holds CPU 2" in guest.tool("run --cpus 2-2 -- true", code=3).stderr
        process.stop(signal.SIGKILL)


def test_a_subset_moves_with_the_pool_while_its_program_goes_on(guest: Guest) -> None:
    counting = f"python3 {PROGRAMS}/count.py {COUNTED}"
    with (
        running(guest, "--cpus 2-3 --name moved", counting) as moved,
        running(guest, "--cpus 5-5 --name other", "sleep inf"),
    ):
        start = guest.counted(COUNTED)
        guest.apply("3-5")
        status = guest.json("status")
        subsets = {subset["name"]: subset["cpus"] for subset in status["subsets"]}
        assert (subsets, status["problems"]) == ({"moved": "3-4", "other": "5"}, [])
        until(lambda: guest.counted(COUNTED) > start)
        assert guest.affinity(moved.pid) == "3-4"
    guest.apply("2-5")


def test_two_testpmd_at_once_have_exactly_the_cores_they_were_given(guest: Guest) -> None:
    with (
        running(guest, "--cpus 2 --name one", TESTPMD.format(name="one")) as one,
        running(guest, "--cpus 2 --name two", TESTPMD.format(name="two")) as two,
    ):
        for process, (first, second) in ((one, (2, 3)), (two, (4, 5))):
            until(lambda: "Port statistics" in process.output)  # noqa: B023  # at once
            threads = [task for task in guest.look().tasks if task.pid == process.pid]
            [main] = [task for task in threads if task.tid == task.pid]
            workers = [task for task in threads if "worker" in task.name]
            assert main.cpus == [first], threads
            assert [task.cpus for task in workers] == [[second]], threads
            assert {cpu for task in threads for cpu in task.cpus} == {first, second}, threads
        assert held(guest) == {"one": "2-3", "two": "4-5"}
        for process in (one, two):
            assert process.stop(signal.SIGINT) == 0, process.output
    assert cpus(guest.pool(".effective")) == {2, 3, 4, 5}
    guest.apply("2-5")  # DPDK's drivers have loaded modules, whose workqueues are everywhere
