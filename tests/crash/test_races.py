"""Processes that place guests at the same time: none is lost, and no pCPU is given twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

from tests.cli.command import ROOT, Mdsvc, environment
from tests.cli.values import DEDICATED, Json, flavor, host, plain
from tests.crash.conftest import Audit

PAIR = flavor(2, 64, DEDICATED)
MIXED_PAIR = flavor(2, 64, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"})
FLOATING = flavor(2, 64, {"hw:cpu_policy": "shared"})


def together(mdsvc: Mdsvc, *jobs: list[Json], churn: bool = False) -> list[list[int]]:
    """The exit codes of processes that place these guests, each its own, at the same time."""
    command = [sys.executable, "-m", "tests.crash.creator", mdsvc.url, "churn" if churn else "-"]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe)
        for _ in jobs
    ]
    for process, job in zip(started, jobs, strict=True):
        assert process.stdin
        process.stdin.write("".join(f"{json.dumps(form)}\n" for form in job).encode())
    for process in started:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    return [json.loads(process.communicate()[0]) for process in started]


def test_two_processes_fill_a_host_and_take_nothing_twice(mdsvc: Mdsvc, audit: Audit) -> None:
    """Twelve dedicated pCPUs, and ten guests that want two each: six of them get theirs."""
    jobs = [[plain(10 * job + n, flavor=PAIR) for n in range(5)] for job in range(2)]
    codes = Counter(code for done in together(mdsvc, *jobs) for code in done)
    assert codes == {0: 6, 3: 4}
    assert len(audit()) == 6


def test_eight_processes_fill_a_host_as_one_alone_would(mdsvc: Mdsvc, audit: Audit) -> None:
    """Who loses a race gets another turn; who is told that there is no room, there is none for."""
    jobs = [[plain(10 * job + n, flavor=PAIR) for n in range(2)] for job in range(8)]
    codes = Counter(code for done in together(mdsvc, *jobs) for code in done)
    assert codes == {0: 6, 3: 10}
    assert len(audit()) == 6


def test_eight_processes_that_all_have_room_all_place_their_guests(
    mdsvc: Mdsvc, audit: Audit
) -> None:
    jobs = [[plain(10 * job + n, flavor=FLOATING) for n in range(4)] for job in range(8)]
    codes = Counter(code for done in together(mdsvc, *jobs) for code in done)
    assert codes == {0: 32}
    assert len(audit()) == 32


def test_many_guests_of_all_kinds_add_up(mdsvc: Mdsvc, audit: Audit) -> None:
    for number in range(2, 6):
        assert mdsvc("host", "add", "-", stdin=host(f"h{number}")).code == 0
    jobs = [
        [plain(100 * job + n, flavor=(PAIR, MIXED_PAIR, FLOATING)[n % 3]) for n in range(15)]
        for job in range(3)
    ]
    codes = [code for done in together(mdsvc, *jobs) for code in done]
    assert codes == [0] * 45
    assert len(audit()) == 45


def test_guests_that_come_and_go_leave_the_use_of_those_that_stay(
    mdsvc: Mdsvc, audit: Audit
) -> None:
    jobs = [[plain(10 * job + n, flavor=MIXED_PAIR) for n in range(5)] for job in range(2)]
    codes = [code for done in together(mdsvc, *jobs, churn=True) for code in done]
    assert codes == [0] * 30
    assert len(audit()) == 10


def test_of_two_that_place_the_same_guest_one_does(mdsvc: Mdsvc, audit: Audit) -> None:
    same = [plain(n, flavor=FLOATING) for n in range(10)]
    first, second = together(mdsvc, same, same)
    assert [sorted(pair) for pair in zip(first, second, strict=True)] == [[0, 3]] * 10
    assert len(audit()) == 10


def test_of_two_that_want_the_same_address_one_has_it(mdsvc: Mdsvc, audit: Audit) -> None:
    jobs = [
        [
            plain(10 * job + n, flavor=FLOATING, addresses=[{"network": "n", "ip": f"10.0.0.{n}"}])
            for n in range(5)
        ]
        for job in range(2)
    ]
    first, second = together(mdsvc, *jobs)
    assert [sorted(pair) for pair in zip(first, second, strict=True)] == [[0, 3]] * 5
    assert len({guest["addresses"][0]["ip"] for guest in audit()}) == 5
