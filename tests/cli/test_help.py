"""Every command explains itself, and completes its arguments in three shells."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import click
import pytest

from mdsvc import __version__, libvirt
from mdsvc.cli import cli
from mdsvc.cli.instance import xml
from mdsvc.cli.loading import Later
from tests.cli.command import Mdsvc, process

Path = tuple[str, ...]


LATER: dict[Path, Later] = {}
"""What stands for each command until it is called."""


def _commands(command: click.Command, path: Path = ()) -> Iterator[tuple[Path, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            assert isinstance(below, Later)
            LATER[*path, name] = below
            yield from _commands(below.load(), (*path, name))


COMMANDS = dict(_commands(cli))

NAMED_IN_THE_CONTRACT = (
    "serve",
    "host add",
    "host import",
    "host list",
    "host show",
    "host remove",
    "instance create",
    "instance list",
    "instance show",
    "instance xml",
    "instance delete",
    "fit",
)


def _id(path: Path) -> str:
    return " ".join(("mdsvc", *path))


@pytest.mark.parametrize("command", NAMED_IN_THE_CONTRACT)
def test_the_contract_s_commands_are_there(command: str) -> None:
    assert tuple(command.split()) in COMMANDS


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("path", COMMANDS, ids=_id)
def test_every_command_explains_itself_on_stdout(mdsvc: Mdsvc, path: Path, flag: str) -> None:
    done = mdsvc(*path, flag)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: {_id(path)} ")
    assert "--help" in done.out


@pytest.mark.parametrize("path", COMMANDS, ids=_id)
def test_every_command_has_examples_of_itself(mdsvc: Mdsvc, path: Path) -> None:
    _, _, examples = mdsvc(*path, "--help").out.partition("Examples:\n")
    assert _id(path) in examples


@pytest.mark.parametrize("path", LATER, ids=_id)
def test_a_command_is_listed_by_the_first_line_of_its_help(path: Path) -> None:
    line, itself = (each[path].get_short_help_str(1000) for each in (LATER, COMMANDS))
    assert line == itself


@pytest.mark.parametrize("path", COMMANDS, ids=_id)
def test_every_option_is_explained(path: Path) -> None:
    options = [p for p in COMMANDS[path].params if isinstance(p, click.Option)]
    assert [o.name for o in options if not o.help and not isinstance(o.type, click.Choice)] == []


@pytest.mark.parametrize("path", [p for p in COMMANDS if p[:1] in [("host",), ("instance",)]])
def test_whatever_touches_the_store_takes_store_and_prints_json(path: Path) -> None:
    command = COMMANDS[path]
    if isinstance(command, click.Group):
        return
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--store" in options
    assert "--json" in options or path[-1] in ("remove", "delete", "xml")


def test_the_elements_of_a_domain_are_those_that_there_are() -> None:
    assert tuple(libvirt.PARTS) == xml.PARTS


def test_the_version_is_the_package_s(mdsvc: Mdsvc) -> None:
    done = mdsvc("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.split()[-1] == __version__


@pytest.mark.parametrize("path", [p for p, c in COMMANDS.items() if isinstance(c, click.Group)])
def test_a_group_alone_explains_itself_and_fails(mdsvc: Mdsvc, path: Path) -> None:
    done = mdsvc(*path)
    assert (done.code, done.out) == (2, "")
    assert "Commands:" in done.err


# ---- completion ----

STARTS = {"bash": "_mdsvc_completion()", "zsh": "#compdef mdsvc", "fish": "function _mdsvc"}


@pytest.mark.parametrize("shell", STARTS)
def test_completion_prints_the_shell_s_script(mdsvc: Mdsvc, shell: str) -> None:
    done = mdsvc("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(STARTS[shell])


def test_bash_accepts_its_script(mdsvc: Mdsvc) -> None:
    script = mdsvc("completion", "bash").out
    for flags in (["-n"], []):  # read it, then run it
        ran = subprocess.run(
            ["bash", *flags], input=script.encode(), capture_output=True, check=True
        )
        assert (ran.stdout, ran.stderr) == (b"", b"")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mdsvc ", {"serve", "host", "instance", "fit", "demo", "completion"}),
        ("mdsvc host ", {"add", "import", "list", "show", "remove"}),
        ("mdsvc serve --identity ", {"address", "neutron"}),
        ("mdsvc host import --sh", {"--shared"}),
    ],
)
def test_what_bash_asks_for_is_completed(words: str, expected: set[str]) -> None:
    """What the script does when the tab key is pressed."""
    at = str(len(words.split(" ")) - 1)
    done = process(_MDSVC_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=at)
    assert (done.code, done.err) == (0, "")
    assert expected <= {line.removeprefix("plain,") for line in done.out.splitlines()}


def test_an_unknown_shell_is_bad_usage(mdsvc: Mdsvc) -> None:
    done = mdsvc("completion", "tcsh")
    assert (done.code, done.out) == (2, "")
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.err
