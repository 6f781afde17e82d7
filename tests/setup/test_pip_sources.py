"""Of what a machine tells pip, set-up takes where packages come from, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.setup.locks import REPOSITORY


def environment(listed: str) -> dict[str, str]:
    """What the shell has after it read what the script makes of `pip config list`."""
    script = [sys.executable, str(REPOSITORY / "scripts/pip_sources.py")]
    exports = subprocess.run(script, input=listed, capture_output=True, text=True, check=True)
    shell = ["env", "-i", "bash", "-c", f"{exports.stdout}\nenv -0"]
    done = subprocess.run(shell, capture_output=True, text=True, check=True)
    pairs = [line.split("=", 1) for line in done.stdout.split("\0") if line]
    return {name: value for name, value in pairs if name.startswith("PIP_")}


def test_where_packages_come_from_is_kept() -> None:
    assert environment(
        "global.index-url='https://user:p%40ss@index.example/simple'\n"
        "global.extra-index-url='\\nfile:///one\\nfile:///two'\n"
        "global.cert='/etc/it\"s own.pem'\n"
    ) == {
        "PIP_INDEX_URL": "https://user:p%40ss@index.example/simple",
        "PIP_EXTRA_INDEX_URL": "file:///one file:///two",
        "PIP_CERT": '/etc/it"s own.pem',
    }


@pytest.mark.parametrize(
    "option", ["constraint", "user", "pre", "no-binary", "target", "upgrade", "require-hashes"]
)
def test_what_would_change_what_is_installed_is_not(option: str) -> None:
    assert environment(f"global.{option}='1'\n:env:.{option}='1'\ninstall.{option}='1'\n") == {}


def test_the_variable_comes_before_the_command_s_section_and_that_before_all() -> None:
    levels = {":env:": "3", "global": "1", "install": "2"}
    for count in (3, 2, 1):
        chosen = sorted(levels.items(), key=lambda level: level[1])[:count]
        listed = "".join(f"{section}.timeout='{value}'\n" for section, value in sorted(chosen))
        assert environment(listed) == {"PIP_TIMEOUT": str(count)}


def test_a_value_is_no_command() -> None:
    assert environment("global.proxy='$(exit 1); `exit 1`'\n") == {
        "PIP_PROXY": "$(exit 1); `exit 1`"
    }
