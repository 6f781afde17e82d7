"""`instance create`, killed at any moment: the guest is there with its use, or neither is."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.command import MDSVC, Mdsvc, environment
from tests.cli.values import UUID, flavor, guest, plain
from tests.crash.conftest import Audit

SWEEPS = 30
AIMED = 20

Create = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def create(mdsvc: Mdsvc, tmp_path: Path) -> Iterator[Create]:
    """Starts a process that places the guest."""
    form = tmp_path / "guest.json"
    form.write_text(json.dumps(guest()))
    command = [str(MDSVC), "instance", "create", str(form), "--json"]
    started = []

    def start() -> subprocess.Popen[bytes]:
        env = environment(MDSVC_STORE=mdsvc.url)
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with process:
            pass  # closes the pipe, and waits


def settle(mdsvc: Mdsvc, audit: Audit, killed: subprocess.Popen[bytes]) -> bool:
    """Whether the killed process had placed its guest. Leaves the host as it was before."""
    killed.kill()
    with killed:
        assert killed.stdout
        told = killed.stdout.read()
    guests = audit()
    assert len(guests) <= 1
    if told.endswith(b"\n"):
        assert guests == [json.loads(told)], "what is printed is stored"
    if guests:
        assert mdsvc("instance", "delete", UUID).code == 0
    return bool(guests)


def place_another(mdsvc: Mdsvc, audit: Audit) -> None:
    """Nothing is left that is in the way of the next guest, not even of one that needs all."""
    whole = flavor(12, 64, {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2"})
    assert mdsvc("instance", "create", "-", stdin=plain(1, flavor=whole)).code == 0
    assert len(audit()) == 1


def test_killed_at_moments_all_over_its_run(mdsvc: Mdsvc, audit: Audit, create: Create) -> None:
    started = time.monotonic()
    assert create().wait() == 0
    run = time.monotonic() - started
    assert mdsvc("instance", "delete", UUID).code == 0
    rng = random.Random(17)
    outcomes = []
    for step in range(SWEEPS):
        process = create()
        time.sleep(run * (step + rng.random()) / SWEEPS)
        outcomes.append(settle(mdsvc, audit, process))
    assert not outcomes[0], "the first is killed before it can have done anything"
    place_another(mdsvc, audit)


def test_killed_while_it_writes(mdsvc: Mdsvc, audit: Audit, create: Create, file: Path) -> None:
    """The log beside the database appears when it is opened: from then on every moment counts."""
    log = Path(f"{file}-wal")
    outcomes = set()
    for step in range(AIMED):
        assert not log.exists()
        process = create()
        while not log.exists() and process.poll() is None:
            pass
        time.sleep(step / 1000)
        outcomes.add(settle(mdsvc, audit, process))
    assert False in outcomes, "some are killed before they commit"
    place_another(mdsvc, audit)


def test_killed_once_it_has_told(mdsvc: Mdsvc, audit: Audit, create: Create) -> None:
    """Whoever has read the result can rely on it."""
    for _ in range(3):
        process = create()
        assert process.stdout
        told = process.stdout.readline()
        process.kill()
        process.wait()
        assert audit() == [json.loads(told)]
        assert mdsvc("instance", "delete", UUID).code == 0
