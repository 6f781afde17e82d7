"""Jobs that run side by side: what is said of each that fails, and what to do about it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.setup.locks import REPOSITORY

A_SCREEN = 24


def bash(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    whole = f"set -euo pipefail\nsource {REPOSITORY}/scripts/jobs.bash\n{script}"
    return subprocess.run(
        ["bash", "-c", whole],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


JOBS = """
slow() {
    step "going slowly"
    sleep 0.2
    echo "OSError: No space left on device"
    false
    step "never"
}
quick() { step "being quick"; step "failing"; echo "E: Unable to locate package x"; false; }
fine() { step "doing well"; echo "WARNING: all manner of things"; say "well on the way"; }
start slow slow
start quick quick
start fine fine
finish
echo "not reached"
"""


def test_each_failure_is_of_the_step_that_failed_with_its_own_words(tmp_path: Path) -> None:
    done = bash(JOBS, tmp_path)
    assert done.returncode == 1
    blocks = done.stdout.split("setup: failed: ")
    assert blocks[0] == "setup: well on the way\n"
    assert sorted(block.splitlines()[:2] for block in blocks[1:]) == [
        ["failing", "    E: Unable to locate package x"],
        ["going slowly", "    OSError: No space left on device"],
    ]
    assert {block.splitlines()[2].split(",")[0] for block in blocks[1:]} == {
        "setup: let apt know a Debian archive (/etc/apt)",
        "setup: make room on the disk",
    }


def test_a_failure_with_much_to_say_takes_a_few_lines(tmp_path: Path) -> None:
    job = 'loud() { step "shouting"; seq 500; printf "x%.0s" {1..5000}; false; }'
    done = bash(f"{job}\nstart loud loud\nfinish", tmp_path)
    assert len(done.stdout.splitlines()) == 6
    assert max(map(len, done.stdout.splitlines())) < 160
    assert (tmp_path / ".cache/setup/loud.log").stat().st_size > 5000


def test_when_all_is_well_nothing_is_said(tmp_path: Path) -> None:
    done = bash("ok() { step fine; echo WARNING: x; }\nstart ok ok\nfinish", tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
         "make room on the disk"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.",
         "make room on the disk"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you",
         "a file is not the one that is pinned"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)",
         "wait until the other apt or dpkg has ended"),
        ("E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct",
         "mend Debian's packages"),
        ("E: Failed to fetch x  Temporary failure resolving 'archive'\n"
         "E: Unable to locate package y",
         "see that Debian's archive (/etc/apt) can be reached"),
        ("E: Unable to locate package libvirt-daemon", "let apt know a Debian archive"),
        ("WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(x)'\n"
         "ERROR: Could not find a version that satisfies the requirement x (from versions: none)",
         "see that the index that pip uses"),
        ("ERROR: Could not find a version that satisfies the requirement x (from versions: none)",
         "see that the index that pip uses"),
        ("pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool: Read timed out.",
         "see that the index that pip uses"),
        ("ERROR: Could not find a version that satisfies the requirement x (from versions: 1, 2)\n"
         "ERROR: No matching distribution found for x==3",
         "the pinned release is not to be had for this Python"),
        ("mkdir: cannot create directory '.venv': Permission denied", "let this user write here"),
        ("Segmentation fault", "look into the log"),
    ],
)  # fmt: skip
def test_what_to_do_is_said_for_each_kind_of_failure(
    tmp_path: Path, said: str, remedy: str
) -> None:
    (tmp_path / "log").write_text(f"== installing x\n{said}\n")
    assert bash("remedy log", tmp_path).stdout.startswith(remedy)
